"""Annotations that can be read, and cannot be meant: wrong units, corners for sizes, axes exchanged, things twice.

A network learns from them without a word, and its figures are then wrong without a word.
"""

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lynx_pose.arrays import Floats
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.errors import InputError

log = logging.getLogger(__name__)
# Of a file's animals: from this share on it is no slip, but how the whole file was written.
MOST = 0.5
# Fewer keypoints than these may lie anywhere.
FEW = 3


def check_plausible(records: Sequence[PoseRecord]) -> None:
    """Warn of records that cannot be meant, once a kind, with their number and the first.

    Raises:
        InputError: most records are of one such kind.
    """
    found: dict[str, list[PoseRecord]] = {}
    for record in records:
        for kind in implausible(record):
            found.setdefault(kind, []).append(record)
    if twice := _repeated(records):
        found["the same image with the same keypoints again"] = twice
    for kind, cases in found.items():
        message = f"{len(cases)} of {len(records)} animals: {kind}; the first is {cases[0].source}"
        if len(cases) > MOST * len(records) and len(cases) >= FEW:
            raise InputError(f"{message}. So the file says something else than it seems to; correct it")
        log.warning("%s", message)


def implausible(record: PoseRecord) -> list[str]:
    """Return what is wrong with a record, in words; usually nothing."""
    points = record.keypoints[record.visible]
    size = np.array(record.image_size, dtype=np.float64)
    low, side = record.box[:2], record.box[2:]
    kinds = []
    if (size > 10).all() and max(points.max(), record.box.max()) <= 1:
        kinds.append("all numbers between 0 and 1, where pixels are expected")
        return kinds
    if record.area > 2 * size.prod():
        kinds.append("an area of more than twice the image")
    if len(points) < FEW:
        return kinds
    spread = np.ptp(points, axis=0)
    if spread.max() < 1:
        kinds.append("all keypoints in one place")
    if _share_inside(points, low, low + side) > MOST:
        if reads_as_corners(record.box, record.image_size) and _share_inside(points, low, side) == 1:
            kinds.append("a box that fits as corners x, y, x, y, where x, y, width, height are expected")
    elif _share_inside(points[:, ::-1], low, low + side) > MOST:
        kinds.append("keypoints that lie in their box with x and y exchanged")
    elif _share_inside(points, low - side, low + 2 * side) == 0:
        kinds.append("a box far from its keypoints")
    return kinds


def reads_as_corners(box: Floats, size: tuple[int, int]) -> bool:
    """Whether x, y, width, height lead far out of an image of (width, height), and x, y, x, y would not."""
    first, second, end = np.asarray(box[:2]), np.asarray(box[2:]), np.asarray(size)
    leads_out = (first + second > 1.2 * end).any()
    return bool(leads_out and (first >= 0).all() and (second <= 1.02 * end).all() and (second > first).all())


def _share_inside(points: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    return float(((points >= low) & (points <= high)).all(axis=1).mean())


def _repeated(records: Sequence[PoseRecord]) -> list[PoseRecord]:
    """Return the records whose image and keypoints an earlier one has had; one keypoint may well be labelled twice."""
    seen: Counter[tuple[str, bytes]] = Counter()
    repeated = []
    for record in records:
        key = (str(record.image_path), record.keypoints.tobytes())
        if seen[key] and record.visible.sum() >= FEW:
            repeated.append(record)
        seen[key] += 1
    return repeated
