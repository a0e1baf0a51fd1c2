"""Shoulder, flank and thigh on a canonical lynx: piecewise affine maps between triangles of keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.skeleton import ANIMAL_POSE_20

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
# Of the canonical lynx, which heads left; a right flank is mirrored onto it.
SIZE = (448, 224)
PLACES = {
    "Throat": (16.0, 120.0),
    "Withers": (104.0, 24.0),
    "TailBase": (424.0, 36.0),
    "F_Elbow": (112.0, 200.0),
    "B_Elbow": (352.0, 204.0),
}
# A point so far on the way from one keypoint to another: on the belly's edge, and where the thigh meets the back.
BETWEEN = {
    "Chest": ("Withers", "F_Elbow", 0.65),
    "Belly": ("TailBase", "B_Elbow", 0.65),
    "Croup": ("Withers", "TailBase", 0.7),
}
PARTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "shoulder": (("Throat", "Withers", "F_Elbow"),),
    "flank": (("Withers", "TailBase", "Chest"), ("TailBase", "Belly", "Chest")),
    "thigh": (("Croup", "TailBase", "B_Elbow"),),
}


def needed(side: str) -> list[int]:
    """Return the indices of the keypoints that the coat of a side, `left` or `right`, is found from."""
    return [ANIMAL_POSE_20.names.index(_name(point, side)) for point in PLACES]


def _name(point: str, side: str) -> str:
    return point if point in ANIMAL_POSE_20.names else f"{side[0].upper()}_{point}"


def coat_of(image: Pixels, keypoints: Floats, side: str) -> Pixels:
    """Map the coat of one side onto the canonical lynx.

    Args:
        image: [H, W, 3] RGB.
        keypoints: [20, 2] in its pixels, in Animal-Pose's order.
        side: `left` or `right`, the flank that is seen.

    Returns:
        [224, 448, 4] RGB and 255 where there is coat; the animal heads left, whichever side it shows.
    """
    source = _with_between(dict(zip(PLACES, keypoints[needed(side)], strict=True)))
    target = _with_between({name: np.array(place) for name, place in PLACES.items()})
    coat = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    for triangle in (triangle for part in PARTS.values() for triangle in part):
        ends = np.array([target[point] for point in triangle], np.float32)
        starts = np.array([source[point] for point in triangle], np.float32)
        matrix = cv2.getAffineTransform(ends, starts)
        warped = cv2.warpAffine(image, matrix, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        mask = _mask(ends)
        coat[mask, :3] = warped[mask]
        coat[mask, 3] = 255
    return coat


def part_of(coat: Pixels, part: str) -> Pixels:
    """Cut `shoulder`, `flank` or `thigh` out of what `coat_of` returned, as [h, w, 4]; transparent around it."""
    target = _with_between({name: np.array(place) for name, place in PLACES.items()})
    ends = [np.array([target[point] for point in triangle], np.float32) for triangle in PARTS[part]]
    mask = np.logical_or.reduce([_mask(triangle) for triangle in ends])
    left, top = np.floor(np.concatenate(ends).min(axis=0)).astype(int)
    right, bottom = np.ceil(np.concatenate(ends).max(axis=0)).astype(int) + 1
    cut = np.where(mask[..., None], coat, 0).astype(np.uint8)
    return cut[top:bottom, left:right]


def _with_between(points: dict[str, Floats]) -> dict[str, Floats]:
    return points | {
        name: points[start] + share * (points[end] - points[start]) for name, (start, end, share) in BETWEEN.items()
    }


def _mask(triangle: Sequence[Sequence[float]] | NDArray[np.float32]) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(np.asarray(triangle)).astype(np.int32), 255)
    return mask > 0
