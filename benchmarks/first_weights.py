"""What should the network of a small dataset begin with? Cats of Animal-Pose, learnt from other animals and otherwise.

    python benchmarks/first_weights.py --data <Animal-Pose> --imagenet <MobileNetV2 weights> --folder kept
        [--cats 25 50 100 200] [--draws 1 2 3] [--changes aug/half_body=mmpose aug=color] [--at-once 2]

A network learns from dogs, sheep, horses and cows, another from drawn lynxes, both from ImageNet's weights; then each
is trained on a few cats as `experiment=quickstart` does, beside ImageNet's weights themselves and random ones, and
judged by the cats of the validation side. Every draw has other cats and another seed. It prints AP over the draws with
Student's 95 % interval, and differences paired by draw: from ImageNet's weights, and of `--changes` from the start with
other animals, on 100 cats. Called again with the same folder, it does what is missing.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scipy.stats import t

from lynx_pose.files import read_json
from lynx_pose.machine import usable_cores

# By the number of cats: the more, the fewer.
EPOCHS = {25: 80, 50: 50, 100: 35, 200: 25}
QUIET = ["model.input_size=[128,128]", "logger=none", "loader.num_workers=0", "trainer.enable_progress_bar=false"]
CHANGED_CATS = 100


def train(folder: Path, threads: int, *options: str) -> float:
    """Train a network unless its run has ended already, and return its AP after the last epoch."""
    if not (folder / "summary.json").is_file():
        command = [sys.executable, "-m", "lynx_pose.train", *QUIET, *options, f"hydra.run.dir={folder}"]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
    return float(read_json(folder / "summary.json")["best"]["AP"])


def first_runs(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the options of every network that others begin with, by the name of its run."""
    common = [f"init.path={options.imagenet}", "model.epochs=8", "trainer.check_val_every_n_epoch=8"]
    species = ["data.train_species=[cow,dog,horse,sheep]", "data.val_species=[cat]"]
    return {
        "other animals": ["experiment=embedded", f"data.root={options.data}", *species, *common],
        "synthetic lynxes": ["experiment=embedded", "data=synthetic", "data.images=4400", *common],
    }


def starts(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the options of every start by its name."""
    learnt = {name: ["init=run", f"init.path={options.folder / name}"] for name in first_runs(options)}
    return learnt | {"ImageNet": ["init=tensorflow_hub", f"init.path={options.imagenet}"], "random": ["init=random"]}


def on_cats(options: argparse.Namespace, cats: int, draw: int) -> list[str]:
    """Return the options of training on so many cats; on none, of validating the start alone."""
    data = ["experiment=quickstart", "data=animalpose", f"data.root={options.data}"]
    data += ["data.train_species=[cat]", "data.val_species=[cat]"]
    if not cats:
        return [*data, "fit=false"]
    return [
        *(*data, f"data.train_animals={cats}", f"data.train_animals_seed={draw}", f"seed={draw}"),
        *(f"model.epochs={EPOCHS[cats]}", f"trainer.check_val_every_n_epoch={EPOCHS[cats]}"),
    ]


def described(values: np.ndarray) -> str:
    """Return the mean of values over draws and its 95 % interval."""
    with np.errstate(invalid="ignore"):
        reach = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.3f} ± {reach:.3f}"


def main() -> None:
    """Train what is missing, and print both tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="Animal-Pose, as data=animalpose takes it")
    parser.add_argument("--imagenet", type=Path, required=True, help="timm's mobilenetv2_100.tfhub_in1k")
    parser.add_argument("--folder", type=Path, required=True, help="where all runs are kept")
    parser.add_argument("--cats", type=int, nargs="+", choices=EPOCHS, default=list(EPOCHS))
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--changes", nargs="*", default=[], help="options, each tried by itself")
    parser.add_argument("--at-once", type=int, default=2, help="runs at once; the cores are divided among them")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    threads = max(1, usable_cores() // options.at_once)
    runs = {(name, 0, 0): [*on_cats(options, 0, 0), *starts(options)[name]] for name in first_runs(options)}
    for draw in options.draws:
        for cats in options.cats:
            for name, start in starts(options).items():
                runs[name, cats, draw] = [*on_cats(options, cats, draw), *start]
        for change in options.changes:
            learnt = starts(options)["other animals"]
            runs[change, CHANGED_CATS, draw] = [*on_cats(options, CHANGED_CATS, draw), *learnt, change]
    with ThreadPoolExecutor(options.at_once) as pool:
        firsts = first_runs(options)
        # The list waits until they have ended: all others may begin with them.
        list(pool.map(lambda name: train(options.folder / name, threads, *firsts[name]), firsts))
        keys = {pool.submit(train, folder_of(options.folder, *key), threads, *of): key for key, of in runs.items()}
        ap = {key: done.result() for done, key in keys.items()}
    for name in firsts:
        print(f"{name}, before any cat: AP {ap[name, 0, 0]:.3f}")
    print_tables(options, ap)


def folder_of(root: Path, name: str, cats: int, draw: int) -> Path:
    """Return the folder of a run."""
    return root / f"{name.replace('/', '-')}-{cats}-{draw}"


def print_tables(options: argparse.Namespace, ap: dict[tuple[str, int, int], float]) -> None:
    """Print AP of every start, and the differences paired by draw."""

    def of(name: str, cats: int) -> np.ndarray:
        return np.array([ap[name, cats, draw] for draw in options.draws])

    print("| first weights |", " | ".join(f"{cats} cats" for cats in options.cats), "|")
    for name in starts(options):
        print(f"| {name} |", " | ".join(described(of(name, cats)) for cats in options.cats), "|")
    for name in first_runs(options):
        differences = [described(of(name, cats) - of("ImageNet", cats)) for cats in options.cats]
        print(f"| {name} less ImageNet |", " | ".join(differences), "|")
    for change in options.changes:
        difference = of(change, CHANGED_CATS) - of("other animals", CHANGED_CATS)
        print(f"| {change} | {described(of(change, CHANGED_CATS))} | {described(difference)} |")


if __name__ == "__main__":
    main()
