"""Who is who in the next frame: numbers that animals keep through a video."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from lynx_pose.arrays import Floats
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.metrics.oks import oks
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses

# Of the mean of OKS and the boxes' overlap: less, and it is another animal.
LEAST_SIMILARITY = 0.1
# Seconds after which an animal that comes back is a new one.
MEMORY = 1.0
# Of keypoints whose OKS sigmas nobody gave.
DEFAULT_SIGMA = 0.05


@dataclass
class _Track:
    number: int
    pose: AnimalPose
    frame: int


def track_animals(found: ImagePoses, skeleton: Skeleton, min_confidence: float) -> ImagePoses:
    """Number the animals of a video, so that each keeps its number from frame to frame.

    Each frame's animals are matched with those that were there up to a second before, so that the sum of similarities
    is highest (the Hungarian method). How similar two are is the mean of their poses' OKS and their boxes' overlap
    (IoU).

    Args:
        found: in a video.
        skeleton: of the poses.
        min_confidence: that a keypoint needs in both poses to count.
    """
    tracks: list[_Track] = []
    frames, begun = [], 0
    for frame, animals in enumerate(found.frames):
        alive = [track for track in tracks if frame - track.frame <= MEMORY * (found.fps or 1)]
        matches = _match([track.pose for track in alive], animals, skeleton, min_confidence)
        numbered = []
        for position, animal in enumerate(animals):
            if (track := alive[matches[position]] if position in matches else None) is None:
                track = _Track(begun, animal, frame)
                tracks.append(track)
                begun += 1
            track.pose, track.frame = animal, frame
            numbered.append(replace(animal, track=track.number))
        frames.append(numbered)
    return replace(found, frames=frames)


def _match(
    earlier: Sequence[AnimalPose], animals: Sequence[AnimalPose], skeleton: Skeleton, min_confidence: float
) -> dict[int, int]:
    """Return which of the earlier poses each animal continues; those that continue none are left out."""
    if not earlier or not animals:
        return {}
    similarity = np.array([[_similarity(one, other, skeleton, min_confidence) for other in animals] for one in earlier])
    pairs = zip(*linear_sum_assignment(similarity, maximize=True), strict=True)
    return {int(new): int(old) for old, new in pairs if similarity[old, new] >= LEAST_SIMILARITY}


def _similarity(one: AnimalPose, other: AnimalPose, skeleton: Skeleton, min_confidence: float) -> float:
    first, second = np.array(one.keypoints), np.array(other.keypoints)
    seen = (first[:, 2] >= min_confidence) & (second[:, 2] >= min_confidence)
    overlap = box_overlap(np.array(one.box), np.array(other.box))
    if not seen.any():
        return overlap / 2
    distances = np.linalg.norm(first[:, :2] - second[:, :2], axis=1)
    scale = np.array([max(one.box[2] * one.box[3], other.box[2] * other.box[3])])
    return (
        float(oks(distances[None], seen[None], scale, skeleton.sigmas or [DEFAULT_SIGMA] * len(skeleton))[0] + overlap)
        / 2
    )


def box_overlap(one: Floats, other: Floats) -> float:
    """Return intersection over union of two boxes [4] x, y, width, height."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    return shared / max(float(np.prod(one[2:]) + np.prod(other[2:])) - shared, 1e-12)
