"""Errors of poses in three dimensions, in millimetres.

Truth and prediction are laid root on root, the withers. Predictions are in pixels of the image, across, down and in
depth; the truth's pixels per metre turn them into millimetres, which no photograph tells by itself.
"""

from dataclasses import dataclass

import numpy as np

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.metrics.validation_metric import Poses

ROOT = "Withers"
# Thresholds of the area under PCK3D's curve, in millimetres.
THRESHOLDS = np.linspace(0, 150, 31)


@dataclass(frozen=True)
class JointErrors:
    """What the metrics of this file share.

    Args:
        labelled: count the keypoints that are annotated in the image alone; otherwise the hidden ones too.
    """

    labelled: bool = False

    def distances(self, poses: Poses, skeleton: Skeleton) -> Floats:
        """Return the counted keypoints' distances [n] in millimetres."""
        found, truth = root_relative(poses, skeleton)
        return np.asarray(np.linalg.norm(found - truth, axis=-1)[self.counted(poses)])

    def counted(self, poses: Poses) -> Mask:
        """Return which keypoints [N, K] count."""
        return poses.visible if self.labelled else np.ones_like(poses.visible)


class MPJPE(JointErrors):
    """Mean per joint position error (protocol 1)."""

    def __call__(self, poses: Poses, skeleton: Skeleton) -> float:
        """Return it in millimetres."""
        return float(self.distances(poses, skeleton).mean())


class AlignedMPJPE(JointErrors):
    """Mean per joint position error after each pose was turned, scaled and moved to fit (protocol 2, PA-MPJPE)."""

    def __call__(self, poses: Poses, skeleton: Skeleton) -> float:
        """Return it in millimetres."""
        found, truth = root_relative(poses, skeleton)
        aligned = np.array([procrustes(one, goal) for one, goal in zip(found, truth, strict=True)])
        return float(np.linalg.norm(aligned - truth, axis=-1)[self.counted(poses)].mean())


class DepthError(JointErrors):
    """Mean absolute error in depth alone."""

    def __call__(self, poses: Poses, skeleton: Skeleton) -> float:
        """Return it in millimetres."""
        found, truth = root_relative(poses, skeleton)
        return float(np.abs(found - truth)[..., 2][self.counted(poses)].mean())


@dataclass(frozen=True)
class PCK3D(JointErrors):
    """Share of keypoints nearer than a threshold.

    Args:
        threshold: millimetres.
    """

    threshold: float = 150.0

    def __call__(self, poses: Poses, skeleton: Skeleton) -> float:
        """Return the share."""
        return float((self.distances(poses, skeleton) < self.threshold).mean())


class AreaUnderPCK3D(JointErrors):
    """Mean PCK3D over thresholds of 0, 5, …, 150 mm."""

    def __call__(self, poses: Poses, skeleton: Skeleton) -> float:
        """Return the mean share."""
        distances = self.distances(poses, skeleton)
        return float(np.mean([(distances < threshold).mean() for threshold in THRESHOLDS]))


def root_relative(poses: Poses, skeleton: Skeleton) -> tuple[Floats, Floats]:
    """Return predicted and true points [N, K, 3] in millimetres from the root.

    Raises:
        InputError: poses or records have no third dimension, or the skeleton no root.
    """
    if ROOT not in skeleton.names:
        raise InputError(f"metric: errors in three dimensions are told from {ROOT}, which these keypoints lack")
    if poses.depth is None:
        raise InputError("metric: errors in three dimensions need a head that finds depth, such as head=integral3d")
    for record in poses.records:
        if record.points is None:
            raise InputError(f"{record.source}: has no third dimension; data=synthetic has")
    truth = np.array([record.points for record in poses.records])
    per_metre = np.array([record.pixels_per_metre for record in poses.records], dtype=np.float64)
    found = np.concatenate([poses.keypoints, poses.depth[..., None]], axis=-1) / per_metre[:, None, None]
    root = skeleton.names.index(ROOT)
    return 1000 * (found - found[:, root, None]), 1000 * (truth - truth[:, root, None])


def procrustes(points: Floats, goal: Floats) -> Floats:
    """Turn, scale and move points [K, 3] so that they lie on others as nearly as they can (Schönemann 1966)."""
    middle, goal_middle = points.mean(axis=0), goal.mean(axis=0)
    centred, wanted = points - middle, goal - goal_middle
    left, values, right = np.linalg.svd(centred.T @ wanted)
    # A mirror image is no turn.
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = (values * signs).sum() / max((centred**2).sum(), 1e-12)
    return np.asarray(scale * centred @ (left * signs) @ right + goal_middle)
