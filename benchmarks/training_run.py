"""A whole training run beside MMPose's: the same network, photographs, augmentation and epochs; AP over time.

    python benchmarks/training_run.py --data <Animal-Pose> --folder kept --peer-python <python with MMPose 1.3.2>
        [--animals 1000] [--epochs 20] [--seeds 1 2]

ResNet-18 with three deconvolutions, from random weights, in crops of 128 × 128, with MMPose's geometric augmentation
and half bodies, its learning rate with the thesis's decay, its milestones in proportion; validated five times. One
after the other on the whole machine. Seconds are of training and validation; starting up is left out of both. Called
again with the same folder, it does what is missing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from lynx_pose.files import read_json, write_json
from lynx_pose.machine import usable_cores

SIDE, BATCH = 128, 32
HERE = Path(__file__).resolve().parent
# Epoch, seconds and AP.
Curve = list[tuple[int, float, float]]


def ours(data: Path, folder: Path, animals: int, epochs: int, seed: int) -> Curve:
    """Train, and note when each epoch's row is there."""
    options = [
        *("data=animalpose", f"data.root={data}", f"data.train_animals={animals}", f"seed={seed}"),
        *("model=r50", "model.backbone.name=resnet18", f"model.input_size=[{SIDE},{SIDE}]", f"model.epochs={epochs}"),
        f"model.milestones=[{round(epochs * 170 / 210)},{round(epochs * 200 / 210)}]",
        *("aug=geometric", f"loader.batch_size={BATCH}", f"schedule.warmup_epochs={max(1, epochs // 10)}"),
        *("schedule.warmup_start=0.001", f"trainer.check_val_every_n_epoch={max(1, epochs // 5)}"),
        *("logger=none", "trainer.enable_progress_bar=false"),
    ]
    # All cores, whatever else the machine has been doing.
    environment = os.environ | {"OMP_NUM_THREADS": str(usable_cores())}
    command = [sys.executable, "-m", "lynx_pose.train", *options, f"hydra.run.dir={folder}"]
    process = subprocess.Popen(command, env=environment)
    curve: Curve = []
    table = folder / "metrics.csv"
    start = None
    while process.poll() is None:
        # The split is written just before training begins.
        if start is None and (folder / "split.json").is_file():
            start = time.perf_counter()
        rows = table.read_text().splitlines() if table.is_file() else []
        for line in rows[1:]:
            row = dict(zip(rows[0].split(","), line.split(","), strict=True))
            epoch = int(row["epoch"]) + 1
            # Epochs without validation have no AP.
            if start is not None and row.get("val/AP") and epoch not in [known for known, *_ in curve]:
                curve.append((epoch, time.perf_counter() - start, float(row["val/AP"])))
        time.sleep(0.1)
    if process.returncode:
        sys.exit("our run failed")
    return curve


def theirs(python: str, data: Path, folder: Path, split: Path, epochs: int, seed: int) -> Curve:
    """Train MMPose on the animals of our run's split."""
    folder.mkdir(parents=True, exist_ok=True)
    write_side(data / "annotations" / "train.json", read_json(split)["train"], folder / "train.json")
    write_side(data / "annotations" / "val.json", read_json(split)["val"], folder / "val.json")
    command = [python, str(HERE / "peers" / "mmpose_training.py"), str(folder), str(data / "images")]
    command += [str(number) for number in (SIDE, epochs, BATCH, seed)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [line.split()[1:] for line in output.splitlines() if line.startswith("EPOCH ")]
    return [(int(epoch), float(seconds), float(ap)) for epoch, seconds, ap in lines]


def write_side(source: Path, ids: list[str], target: Path) -> None:
    """Write a COCO file of some of another's annotations, and of their images alone."""
    content = json.loads(source.read_text())
    # Ours begin with the file's name, because both files number from 1.
    wanted = {name.rpartition(":")[2] for name in ids}
    content["annotations"] = [one for one in content["annotations"] if str(one["id"]) in wanted]
    images = {one["image_id"] for one in content["annotations"]}
    content["images"] = [image for image in content["images"] if image["id"] in images]
    target.write_text(json.dumps(content))


def main() -> None:
    """Train what is missing, and print both curves and the ratio of their times."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="Animal-Pose, as data=animalpose takes it")
    parser.add_argument("--folder", type=Path, required=True, help="where all runs are kept")
    parser.add_argument("--peer-python", required=True, help="python of an environment with MMPose 1.3.2")
    parser.add_argument("--animals", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    folder = options.folder.resolve()
    best: dict[str, list[float]] = {"lynx_pose": [], "MMPose": []}
    ratios = []
    for seed in options.seeds:
        file = folder / f"curves-{seed}.json"
        if not file.is_file():
            run = folder / f"run-{seed}"
            curves = {"lynx_pose": ours(options.data, run, options.animals, options.epochs, seed)}
            peer = theirs(options.peer_python, options.data, folder / "peer", run / "split.json", options.epochs, seed)
            write_json(file, curves | {"MMPose": peer})
        curves = read_json(file)
        for name, curve in curves.items():
            best[name].append(max(ap for *_, ap in curve))
            print(f"seed {seed}, {name}:", ", ".join(f"AP {ap:.3f} after {time:.0f} s" for _, time, ap in curve))
        ratios.append(curves["MMPose"][-1][1] / curves["lynx_pose"][-1][1])
    for name, values in best.items():
        print(f"{name}: best AP {np.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})")
    print(f"MMPose takes {np.mean(ratios):.2f} times as long ({', '.join(f'{ratio:.2f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
