"""Does it pay to learn from photographs without labels first? A small vision transformer, with and without.

    python benchmarks/pretraining.py [--labels 50 200] [--seeds 1 2 3] [--epochs 200] [-- data=...]

A masked autoencoder learns from animals of other drawn photographs (or of `--images` and `--boxes`); then the network
is trained on a few labelled animals, from its weights and from random ones, three seeds each, and validated at the end.
Differences are paired by seed, with Student's 95 % interval.
"""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from hydra import compose, initialize_config_dir
from scipy.stats import t

from lynx_pose.config import CONF
from lynx_pose.data.synthetic.synthetic_dataset import VERSION
from lynx_pose.files import read_json
from lynx_pose.training.build import read_annotations

NETWORK = "vit_tiny_patch16_224"
TRAINING = [
    *("model=vit", f"model.backbone.name={NETWORK}", "model.input_size=[128,128]", "head.deconv_channels=64"),
    *(
        "optimizer=adamw",
        "schedule=cosine",
        "aug=geometric",
        "aug/geometry=gentle",
        "aug/half_body=none",
        "loader.batch_size=16",
    ),
    *("logger=none", "loader.num_workers=0", "trainer.enable_progress_bar=false", "+metric=pck"),
]


def write_boxes(file: Path, data: list[str]) -> None:
    """Write the boxes of a dataset's animals, and no other label."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        records = read_annotations(compose("train", overrides=data)).records
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "x", "y", "width", "height"])
        writer.writerows([record.image_path, *map(float, record.box)] for record in records)


def run(command: str, *options: str) -> None:
    """Run a command of ours."""
    subprocess.run([sys.executable, "-m", f"lynx_pose.{command}", *options], check=True)


def measured(folder: Path) -> dict[str, float]:
    """Return what a run reached at its end."""
    best: dict[str, float] = read_json(folder / "summary.json")["best"]
    return best


def main() -> None:
    """Pretrain, train with and without, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--labels", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=200, help="of pretraining")
    parser.add_argument("--steps", type=int, default=800, help="of training, whatever the number of labels")
    parser.add_argument("--images", help="folder of the photographs without labels")
    parser.add_argument("--boxes", help="their animals; without both, other drawn photographs")
    parser.add_argument("data", nargs="*", help="options of the labelled dataset")
    options = parser.parse_args()
    folder = Path(mkdtemp(prefix="pretraining-"))
    images, boxes = options.images, options.boxes
    if not images:
        write_boxes(folder / "boxes.csv", ["data=synthetic", "data.drawing_seed=1"])
        root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lynx_pose"
        images, boxes = str(root / f"synthetic-v{VERSION}-seed1-760"), str(folder / "boxes.csv")
    pretrained = folder / "pretrained"
    run(
        *("pretrain", f"images={images}", f"boxes={boxes}", f"method.backbone.name={NETWORK}"),
        *(f"trainer.max_epochs={options.epochs}", "trainer.enable_progress_bar=false", f"hydra.run.dir={pretrained}"),
    )
    starts = {"random": ["init=random"], "run": ["init=run", f"init.path={pretrained}", "init.part=backbone."]}
    for labels in options.labels:
        epochs = round(options.steps / np.ceil(labels / 16))
        length = [f"model.epochs={epochs}", "model.milestones=[]", f"trainer.check_val_every_n_epoch={epochs}"]
        found: dict[str, list[dict[str, float]]] = {name: [] for name in starts}
        for seed in options.seeds:
            for name, start in starts.items():
                own = [f"data.train_animals={labels}", f"data.train_animals_seed={seed}", f"seed={seed}", *length]
                target = folder / f"{labels}-{seed}-{name}"
                run("train", *TRAINING, *options.data, *start, *own, f"hydra.run.dir={target}")
                found[name].append(measured(target))
        for metric in ("AP", "PCK@0.1", "median_error_px"):
            random, run_ = (np.array([one[metric] for one in found[name]]) for name in starts)
            gain = run_ - random
            reach = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
            print(
                f"{labels:5} labels, {metric:16} random {random.mean():.4f}, pretrained {run_.mean():.4f}, "
                f"difference {gain.mean():+.4f} ({gain.mean() - reach:+.4f} to {gain.mean() + reach:+.4f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
