"""OKS sigmas from photographs that were annotated twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import bootstrap

from lynx_pose.data.readers.coco import NamedPose
from lynx_pose.errors import InputError


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


Poses = Mapping[str, Sequence[NamedPose]]


def estimate_sigmas(
    names: Sequence[str], first: Poses, second: Poses, confidence: float = 0.95, seed: int = 0
) -> list[SigmaEstimate]:
    """Estimate σ² = E[d²/s²] with d the distance of an annotation from the true place (COCO's definition).

    The true place is unknown, but two annotations that scatter around it independently are on average √2
    times as far from each other, so half of their squared distance is an unbiased estimate of d². Programs
    that take the distance between two annotations for d give sigmas √2 times as large.

    Args:
        names: K keypoints.
        first: poses by photograph, from one annotator.
        second: from the other.
        confidence: of the intervals, which come from resampling animals (bias-corrected bootstrap).
        seed: of the resampling.

    Raises:
        InputError: no animal was annotated by both, or a keypoint has fewer than two pairs.
    """
    pairs = [pair for image in first if image in second for pair in match(first[image], second[image])]
    if not pairs:
        raise InputError("the two files have no animal in common: photographs are paired by their file_name")
    return [_estimate(name, _squares(pairs, k), confidence, seed) for k, name in enumerate(names)]


def match(first: Sequence[NamedPose], second: Sequence[NamedPose]) -> list[tuple[NamedPose, NamedPose]]:
    """Pair the animals of one photograph so that the sum of their mean keypoint distances is smallest.

    Two that are farther apart than their own size are different animals.
    """
    costs = np.array([[_mean_distance(one, other) for other in second] for one in first])
    chosen = zip(*linear_sum_assignment(np.minimum(costs, 1e9)), strict=True)
    return [(first[i], second[j]) for i, j in chosen if costs[i, j] < 1]


def _mean_distance(one: NamedPose, other: NamedPose) -> float:
    """Return the mean distance relative to the animal's scale; infinite without a common keypoint."""
    both = one.visible & other.visible
    if not both.any():
        return float("inf")
    distances = np.linalg.norm(one.keypoints - other.keypoints, axis=1)[both]
    return float(distances.mean() / np.sqrt((one.area + other.area) / 2))


def _squares(pairs: Sequence[tuple[NamedPose, NamedPose]], keypoint: int) -> NDArray[np.float64]:
    """Return half of each pair's squared distance relative to the animal's scale."""
    return np.array(
        [
            ((one.keypoints[keypoint] - other.keypoints[keypoint]) ** 2).sum() / (one.area + other.area)
            for one, other in pairs
            if one.visible[keypoint] and other.visible[keypoint]
        ]
    )


def _estimate(name: str, squares: NDArray[np.float64], confidence: float, seed: int) -> SigmaEstimate:
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
