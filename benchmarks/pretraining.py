"""Does it pay to learn from photographs without labels first? Networks from several starts, trained on few animals.

    python benchmarks/pretraining.py --folder kept [--labels 50 100 200] [--seeds 1 2 3] [--imagenet weights.pth]
        [--images photographs --boxes boxes.json] [-- data=animalpose data.root=... data.train_species=[cat] ...]

A masked autoencoder (a small vision transformer) and the reconstruction network of paper 1818 learn from all animals'
pixels, of `--images` and `--boxes` or of other drawn photographs; then each is trained on a few labelled animals, from
its own weights and from random ones, beside a MobileNetV2 from random weights and from ImageNet's. All are trained for
the same number of steps, and validated at the end. Differences are paired by seed, which also draws the animals, with
Student's 95 % interval. Called again with the same folder, it does what is missing.
"""

import argparse
import csv
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from scipy.stats import t
from torch.nn.functional import avg_pool2d, interpolate

from lynx_pose.config import CONF
from lynx_pose.data.synthetic.synthetic_dataset import VERSION
from lynx_pose.files import read_json
from lynx_pose.models.nets.autoencoder import Autoencoder
from lynx_pose.models.weights import network_state, read_checkpoint
from lynx_pose.pretraining.reconstruction import Reconstruction
from lynx_pose.pretraining.unlabelled import ROOM, UnlabelledCrops
from lynx_pose.training.build import read_annotations

BATCH = 16
TRAINING = [
    *("model.input_size=[128,128]", "optimizer=adamw", "optimizer.lr=5e-4", "schedule=cosine", "aug=geometric"),
    *("aug/geometry=gentle", "aug/half_body=none", f"loader.batch_size={BATCH}", "model.milestones=[]"),
    *("logger=none", "loader.num_workers=0", "trainer.enable_progress_bar=false", "+metric=pck"),
]
VIT = "vit_tiny_patch16_224"
METRICS = ("AP", "PCK@0.1", "median_error_px")


@dataclass(frozen=True)
class Network:
    """A network and how it learns without labels."""

    model: list[str]
    pretraining: list[str] = field(default_factory=list)


NETWORKS = {
    "vit": Network(
        ["model=vit", f"model.backbone.name={VIT}", "head.deconv_channels=64"],
        ["method=masked", f"method.backbone.name={VIT}"],
    ),
    "autoencoder": Network(
        ["model=autoencoder", "head.codec.sigma=5", "optimizer.lr=1e-3"],
        [
            "method=reconstruction",
            "batch_size=8",
            "optimizer=adam",
            "optimizer.lr=1e-3",
            "schedule=step",
            "schedule.milestones=[]",
        ],
    ),
    "mobilenet": Network(["model=mobilenet", "head.deconv_channels=64"]),
}


def write_boxes(file: Path, data: list[str]) -> None:
    """Write the boxes of a dataset's animals, and no other label."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        records = read_annotations(compose("train", overrides=data)).records
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "x", "y", "width", "height"])
        writer.writerows([record.image_path, *map(float, record.box)] for record in records)


def run(command: str, folder: Path, *options: str) -> None:
    """Run a command of ours, unless it has ended in its folder already."""
    if not (folder / "summary.json").is_file():
        subprocess.run([sys.executable, "-m", f"lynx_pose.{command}", *options, f"hydra.run.dir={folder}"], check=True)


def drawn_photographs(folder: Path) -> tuple[str, str]:
    """Return the folder of drawn photographs of another seed, and the file of their boxes."""
    boxes = folder / "boxes.csv"
    if not boxes.is_file():
        write_boxes(boxes, ["data=synthetic", "data.drawing_seed=1"])
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lynx_pose"
    return str(root / f"synthetic-v{VERSION}-seed1-760"), str(boxes)


def pretrained_starts(options: argparse.Namespace, network: str) -> dict[str, list[str]]:
    """Return a network's starts by name, each as options of training; what needs pretraining is pretrained."""
    starts = {"random": ["init=random"]}
    if options.imagenet and network == "mobilenet":
        starts["imagenet"] = ["init=tensorflow_hub", f"init.path={options.imagenet}"]
    method = NETWORKS[network].pretraining
    if method:
        images, boxes = (options.images, options.boxes) if options.images else drawn_photographs(options.folder)
        target = options.folder / f"{network}-pretrained"
        source = [f"images={images}", f"boxes={boxes}", f"trainer.max_epochs={options.epochs}"]
        run("pretrain", target, *method, *source, "trainer.enable_progress_bar=false")
        starts["pretrained"] = ["init=run", f"init.path={target}", "init.part=backbone."]
    return starts


def train(options: argparse.Namespace, network: str, start: str, how: list[str], labels: int, seed: int) -> list[float]:
    """Train on so many animals, and return the metrics."""
    epochs = round(options.steps / np.ceil(labels / BATCH))
    length = [f"model.epochs={epochs}", f"trainer.check_val_every_n_epoch={epochs}"]
    own = [f"data.train_animals={labels}", f"data.train_animals_seed={seed}", f"seed={seed}", *length]
    folder = options.folder / f"{network}-{start}-{labels}-{seed}"
    run("train", folder, *TRAINING, *NETWORKS[network].model, *options.data, *how, *own)
    best = read_json(folder / "summary.json")["best"]
    return [best[metric] for metric in METRICS]


def print_reconstruction(run: Path) -> None:
    """Print the errors of a reconstruction network on animals that it was not trained on.

    Beside them that of the crop's colours in as many cells as the bottleneck has, and that with the bottleneck zeroed:
    were it as good, the skips would copy the image and the bottleneck would say nothing.
    """
    net = Reconstruction(Autoencoder())
    net.load_state_dict(network_state(read_checkpoint(run / "checkpoints" / "best.ckpt"), run))
    net.eval()
    # As `lynx_pose.pretrain` has divided them: the last twentieth, the middle of each crop.
    crops = np.load(run / "crops.npy", mmap_mode="r")
    side = round(crops.shape[1] / ROOM)
    last = UnlabelledCrops(crops[-max(1, round(0.05 * len(crops))) :], side, None)
    image = last.__getitems__([(0, position) for position in range(len(last))])
    pixels = image.permute(0, 3, 1, 2).float() / 255
    cells = interpolate(avg_pool2d(pixels, side // 2), size=pixels.shape[-2:], mode="bilinear")
    with torch.no_grad():
        whole = net.loss(image, torch.Generator())
        net.backbone.encoder.bottleneck.register_forward_hook(lambda *_: torch.zeros(len(image), 512, 2, 2))
        without = net.loss(image, torch.Generator())
    colours = (cells - pixels).square().mean()
    print(
        f"reconstruction error {whole:.4f}, of colours in 2 × 2 cells {colours:.4f}, without bottleneck {without:.4f}"
    )
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    ends = [rows[number * len(rows) // 3 - 1]["val/loss"] for number in (1, 2, 3)]
    print("after each phase:", ", ".join(f"{float(end):.4f}" for end in ends))


def described(name: str, values: np.ndarray) -> str:
    """Return the mean over seeds [S, 3], and its 95 % interval."""
    with np.errstate(invalid="ignore"):
        reach = t.ppf(0.975, len(values) - 1) * values.std(axis=0, ddof=1) / len(values) ** 0.5
    numbers = zip(METRICS, values.mean(axis=0), reach, strict=True)
    return f"{name:36}" + "   ".join(f"{metric} {mean:7.3f} ± {of:.3f}" for metric, mean, of in numbers)


def main() -> None:
    """Pretrain, train from every start, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where all runs are kept")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 100, 200])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=200, help="of pretraining")
    parser.add_argument("--steps", type=int, default=800, help="of training, whatever the number of labels")
    parser.add_argument("--imagenet", help="MobileNetV2's weights of TensorFlow Hub, as timm names them")
    parser.add_argument("--images", help="folder of the photographs without labels")
    parser.add_argument("--boxes", help="their animals; without both, other drawn photographs")
    parser.add_argument("data", nargs="*", help="options of the labelled dataset")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    for network in options.networks:
        starts = pretrained_starts(options, network)
        if network == "autoencoder":
            print_reconstruction(options.folder / "autoencoder-pretrained")
        for labels in options.labels:
            found = {
                start: np.array([train(options, network, start, how, labels, seed) for seed in options.seeds])
                for start, how in starts.items()
            }
            for start, values in found.items():
                print(described(f"{labels:4} animals, {network}, {start}", values), flush=True)
                if start != "random":
                    print(described(f"{'':4} difference from random", values - found["random"]), flush=True)


if __name__ == "__main__":
    main()
