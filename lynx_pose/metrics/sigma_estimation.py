"""OKS sigmas from images that were annotated twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from scipy.stats import bootstrap

from lynx_pose.arrays import Floats
from lynx_pose.errors import InputError
from lynx_pose.files import write_text
from lynx_pose.formats.coco import AnnotatedPose, read_poses


@dataclass(frozen=True)
class SigmaEstimate:
    """One keypoint's sigma.

    Args:
        name: of the keypoint.
        sigma: standard deviation of its annotation, relative to the object's scale.
        low: lower end of the confidence interval.
        high: upper end.
        pairs: number of animals on which both annotators marked it.
    """

    name: str
    sigma: float
    low: float
    high: float
    pairs: int


Poses = Mapping[str, Sequence[AnnotatedPose]]


def estimate_sigmas(
    names: Sequence[str], first: Poses, second: Poses, confidence: float = 0.95, seed: int = 0
) -> list[SigmaEstimate]:
    """Estimate σ² = E[d²/s²] with d the distance of an annotation from the true place (COCO's definition).

    The true place is unknown, but two annotations that scatter around it independently are on average √2
    times as far from each other, so half of their squared distance is an unbiased estimate of d². Programs
    that take the distance between two annotations for d give sigmas √2 times as large.

    Args:
        names: K keypoints.
        first: poses by image, from one annotator.
        second: from the other.
        confidence: of the intervals, which come from resampling animals (bias-corrected bootstrap).
        seed: of the resampling.

    Raises:
        InputError: no animal was annotated by both, or a keypoint has fewer than two pairs.
    """
    pairs = [pair for image in first if image in second for pair in match(first[image], second[image])]
    if not pairs:
        raise InputError("the two files have no animal in common: images are paired by their file_name")
    return [_estimate(name, _squares(pairs, k), confidence, seed) for k, name in enumerate(names)]


def match(first: Sequence[AnnotatedPose], second: Sequence[AnnotatedPose]) -> list[tuple[AnnotatedPose, AnnotatedPose]]:
    """Pair the animals of one image so that the sum of their mean keypoint distances is smallest.

    Two that are farther apart than their own size are different animals.
    """
    costs = np.array([[_mean_distance(one, other) for other in second] for one in first])
    chosen = zip(*linear_sum_assignment(np.minimum(costs, 1e9)), strict=True)
    return [(first[i], second[j]) for i, j in chosen if costs[i, j] < 1]


def _mean_distance(one: AnnotatedPose, other: AnnotatedPose) -> float:
    """Return the mean distance relative to the animal's scale; infinite without a common keypoint."""
    both = one.visible & other.visible
    if not both.any():
        return float("inf")
    distances = np.linalg.norm(one.keypoints - other.keypoints, axis=1)[both]
    return float(distances.mean() / np.sqrt((one.area + other.area) / 2))


def _squares(pairs: Sequence[tuple[AnnotatedPose, AnnotatedPose]], keypoint: int) -> Floats:
    """Return half of each pair's squared distance relative to the animal's scale."""
    return np.array(
        [
            ((one.keypoints[keypoint] - other.keypoints[keypoint]) ** 2).sum() / (one.area + other.area)
            for one, other in pairs
            if one.visible[keypoint] and other.visible[keypoint]
        ]
    )


def _estimate(name: str, squares: Floats, confidence: float, seed: int) -> SigmaEstimate:
    if len(squares) < 2:
        raise InputError(f"{name}: {len(squares)} animals have it in both files; at least 2 are needed, better 100")
    sigma = float(np.sqrt(squares.mean()))
    if np.ptp(squares) == 0:
        return SigmaEstimate(name, sigma, sigma, sigma, len(squares))
    interval = bootstrap(
        (squares,),
        lambda sample, axis: np.sqrt(sample.mean(axis=axis)),
        confidence_level=confidence,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return SigmaEstimate(name, sigma, float(interval.low), float(interval.high), len(squares))


def write_sigmas(first: Path, second: Path, output: Path | None) -> None:
    """Print a table of sigmas with their intervals, and write them as configuration.

    Args:
        first: one annotator's COCO keypoint file.
        second: the other's.
        output: YAML file to write; None prints it.

    Raises:
        InputError: a file cannot be used, or the output exists.
    """
    if output and output.exists():
        raise InputError(f"--output={output}: exists already; choose another name")
    (names, ours), (other_names, theirs) = read_poses(first), read_poses(second)
    if names != other_names:
        raise InputError(f"{second}: its keypoints differ from those of {first}; both files need the same skeleton")
    estimates = estimate_sigmas(names, ours, theirs)
    table = Table("keypoint", "sigma", "95 % interval", "animals")
    for one in estimates:
        table.add_row(one.name, f"{one.sigma:.4f}", f"{one.low:.4f} to {one.high:.4f}", str(one.pairs))
    Console().print(table)
    text = (
        f"# @package data\n# OKS sigmas from {first.name} and {second.name}. As <folder>/sigmas/measured.yaml it is "
        "used by\n# python -m lynx_pose.train --config-dir <folder> +sigmas=measured\nsigmas:\n"
    )
    text += "".join(f"- {one.sigma:.4f}  # {one.name}\n" for one in estimates)
    if output:
        write_text(output, text)
    print(output or text)
