"""Shares of keypoints, limbs and whole poses that are near enough: PCK, PCKh, PDJ, PCP, correct predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.metrics.validation_metric import Poses


def check_thresholds(name: str, thresholds: Sequence[float]) -> None:
    """Refuse thresholds that are not positive and increasing.

    Raises:
        InputError: it names the option.
    """
    values = np.asarray(thresholds, dtype=np.float64)
    if not values.size or not (values > 0).all() or not (np.diff(values) > 0).all():
        raise InputError(f"{name}={list(thresholds)}: must be positive numbers in increasing order")


def pck(distances: Floats, visible: Mask, unit: Floats, thresholds: Sequence[float]) -> Floats:
    """Compute the percentage of correct keypoints (Equations 10 and 11 of the thesis), as a share.

    Args:
        distances: [N, K] in pixels.
        visible: [N, K].
        unit: [N] what a threshold of 1 means in pixels: 1, the box's side, or a limb's length; an animal whose
            unit is NaN takes no part.
        thresholds: T of them.

    Returns:
        [T, K]; NaN for a keypoint that is never visible.
    """
    counted = visible & np.isfinite(unit)[:, None]
    relative = np.divide(distances, unit[:, None], out=np.full_like(distances, np.inf), where=counted)
    correct = np.array([(relative < threshold).sum(axis=0) for threshold in thresholds], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(correct / counted.sum(axis=0))


def limb_lengths(keypoints: Floats, visible: Mask, limb: tuple[int, int]) -> Floats:
    """Return [N] lengths in pixels of a limb of annotated poses [N, K, 2]; NaN where an end is not visible."""
    lengths = np.linalg.norm(keypoints[:, limb[0]] - keypoints[:, limb[1]], axis=-1)
    known = visible[:, limb[0]] & visible[:, limb[1]] & (lengths > 0)
    return np.where(known, lengths, np.nan)


def pcp(distances: Floats, keypoints: Floats, visible: Mask, limbs: Sequence[tuple[int, int]], share: float) -> Floats:
    """Compute the percentage of correct parts, as a share.

    A limb is correct if both of its ends are nearer than `share` of its annotated length.

    Args:
        distances: [N, K] in pixels.
        keypoints: [N, K, 2] annotated.
        visible: [N, K].
        limbs: L pairs of keypoints.
        share: 0.5 for PCP@0.5.

    Returns:
        [L]; NaN for a limb that is never visible.
    """
    results = []
    for start, end in limbs:
        lengths = limb_lengths(keypoints, visible, (start, end))
        known = np.isfinite(lengths)
        worst = np.maximum(distances[:, start], distances[:, end])
        correct = worst[known] < share * lengths[known]
        results.append(correct.mean() if correct.size else np.nan)
    return np.array(results)


def correct_predictions(distances: Floats, visible: Mask, thresholds: Sequence[float]) -> Floats:
    """Compute the share of poses whose labelled keypoints are all nearer than a threshold (Equation 12).

    Args:
        distances: [N, K] in pixels.
        visible: [N, K].
        thresholds: T of them, in pixels.

    Returns:
        [T].
    """
    worst = np.where(visible, distances, 0.0).max(axis=1)
    return np.array([(worst < threshold).mean() for threshold in thresholds])


@dataclass(frozen=True)
class MeanPCK:
    """PCK of the validation set as one number: the mean over keypoints at one threshold.

    Args:
        threshold: in fractions of the box's longer side.
    """

    threshold: float

    def __call__(self, poses: Poses, skeleton: Skeleton) -> float:
        """Compute it, as a share."""
        box_sides = np.array([max(record.box[2:]) for record in poses.records])
        return float(np.nanmean(pck(poses.distances, poses.visible, box_sides, [self.threshold])))
