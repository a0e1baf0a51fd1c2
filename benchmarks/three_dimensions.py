"""Which way to three dimensions is better: python benchmarks/three_dimensions.py --volume <runs> --lifted <runs>

Runs of `experiment=integral3d` find depth in the photograph; runs of a network in two dimensions, on the same animals,
are lifted. Both are judged on the validation side by the 16 nodes that are lifted, from the withers, the scale given.
The runs are paired as they are named, such as by seed. Several pairs give a t interval over them, one pair a bootstrap
over animals, which does not know how another training would have ended.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from lynx_pose.arrays import Floats
from lynx_pose.errors import InputError
from lynx_pose.evaluation.validate import run_config
from lynx_pose.files import read_json
from lynx_pose.lifting.lifter import ORIGIN, Lifter, node_indices
from lynx_pose.training.build import read_annotations
from lynx_pose.training.run_folder import RunFolder

RESAMPLES = 2000


def joint_errors(run: Path, lifter: Lifter | None) -> tuple[list[str], Floats, Floats]:
    """Return a run's validation animals [N], their mean joint errors [N] and their errors in depth alone [N], in mm.

    Args:
        run: the folder.
        lifter: gives the poses their depth; None takes the network's own.
    """
    annotations = read_annotations(run_config(run, []))
    nodes = node_indices(annotations.skeleton.names)
    records = {record.id: record for record in annotations.records}
    names, joints, depths = [], [], []
    for result in read_json(RunFolder(run).predictions):
        record = records[result["instance"]]
        if record.points is None or record.pixels_per_metre is None:
            raise InputError(f"{run}: {record.source} has no third dimension")
        places = np.array(result["keypoints"]).reshape(-1, 3)[nodes, :2]
        if lifter is None:
            depth = np.array(result["depth"])[nodes]
        else:
            # What cannot be lifted is taken for flat.
            depth = np.nan_to_num(lifter(places[None], np.ones((1, len(nodes)), bool)).points[0, :, 2])
        found = np.column_stack([places, depth]) / record.pixels_per_metre
        truth = record.points[nodes]
        error = 1000 * ((found - found[ORIGIN]) - (truth - truth[ORIGIN]))
        names.append(result["instance"])
        joints.append(np.linalg.norm(error, axis=1).mean())
        depths.append(np.abs(error[:, 2]).mean())
    return names, np.array(joints), np.array(depths)


def interval(differences: list[Floats]) -> tuple[float, float]:
    """Return the 95 % interval of the mean of differences between animals [N], one array a pair of runs."""
    means = np.array([one.mean() for one in differences])
    if len(means) > 1:
        reach = student.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
        return float(means.mean() - reach), float(means.mean() + reach)
    rng = np.random.default_rng(0)
    animals = differences[0]
    resampled = [animals[rng.integers(len(animals), size=len(animals))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print the errors of both ways, and their difference with its interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--volume", nargs="+", type=Path, required=True, help="runs of experiment=integral3d")
    parser.add_argument("--lifted", nargs="+", type=Path, required=True, help="runs in two dimensions")
    parser.add_argument("--lift", default="embedded", help="the lifting network, as lift= of predict")
    arguments = parser.parse_args()
    if len(arguments.volume) != len(arguments.lifted):
        parser.error("as many runs of one kind as of the other, paired in this order")
    lifter, differences = Lifter.load(arguments.lift), []
    for volume, lifted in zip(arguments.volume, arguments.lifted, strict=True):
        names, own, own_depth = joint_errors(volume, None)
        others, theirs, their_depth = joint_errors(lifted, lifter)
        if names != others:
            raise InputError(f"{volume} and {lifted} were not validated on the same animals")
        print(f"{volume}: {own.mean():.0f} mm, in depth {own_depth.mean():.0f}")
        print(f"{lifted}, lifted: {theirs.mean():.0f} mm, in depth {their_depth.mean():.0f}")
        differences.append(own - theirs)
    low, high = interval(differences)
    mean = np.mean([one.mean() for one in differences])
    print(f"volume less lifted: {mean:+.0f} mm, 95 % interval {low:+.0f} to {high:+.0f}")


if __name__ == "__main__":
    main()
