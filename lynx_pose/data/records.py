"""One annotated animal, and what a reader makes of an annotation file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError

# Of the photograph's sides; the box of an animal that is seen in part may be larger than the photograph.
LARGEST_BOX = 20


@dataclass(frozen=True, eq=False)
class PoseRecord:
    """One animal in one photograph.

    Args:
        id: name of the annotation, unique in its dataset.
        image_id: the dataset's own name of the photograph.
        image_path: the file.
        image_size: (width, height) in pixels, as annotated.
        box: [4] x, y, width, height in image pixels.
        keypoints: [K, 2] in image pixels, x before y; zeros where not labelled.
        visible: [K] bool, true where the point is labelled and inside the photograph.
        area: square pixels of the object, the square of the scale in OKS.
        source: file and record, for messages.
        identity: the individual's name, where known.
        orientation: the side that the camera sees, where known.
        polygon: flat outline x, y, x, y, … in image pixels, where known.
        subsets: the side (`train` or `val`) on which each of the dataset's own splits puts this record.
    """

    id: str
    image_id: int | str
    image_path: Path
    image_size: tuple[int, int]
    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    visible: NDArray[np.bool_]
    area: float
    source: str
    identity: str | None = None
    orientation: str | None = None
    polygon: tuple[float, ...] = ()
    subsets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Annotations:
    """Everything a reader found: usable records, and a count of what was left out and why."""

    records: Sequence[PoseRecord]
    skeleton: Skeleton
    left_out: Counter[str]
    fingerprint: str
    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.records:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            names = ", ".join(str(file) for file in self.files)
            raise InputError(f"{names}: no annotation with a pose is left ({reasons or 'the file has none'})")


def fingerprint(files: Sequence[Path]) -> str:
    """Return a short hash of the content of the annotation files: equal data, equal fingerprint."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def make_record(
    *,
    box: Sequence[float],
    keypoints: NDArray[np.float64],
    labelled: NDArray[np.bool_],
    image_size: tuple[int, int],
    source: str,
    left_out: Counter[str],
    area: float | None = None,
    **rest: object,
) -> PoseRecord:
    """Check one annotation's geometry and return its record.

    Points outside the photograph are no error: they are counted in `left_out` and take no part.

    Raises:
        InputError: the box is empty or outside the photograph, or no labelled keypoint is inside it.
    """
    checked_box = _checked_box(np.asarray(box, dtype=np.float64), image_size, source)
    inside = ((keypoints >= 0) & (keypoints <= np.asarray(image_size) - 1)).all(axis=1)
    left_out["keypoints outside their photograph"] += int((labelled & ~inside).sum())
    visible = labelled & inside
    if not visible.any():
        raise InputError(f"{source}: none of its keypoints lies inside the photograph of {image_size}")
    return PoseRecord(
        box=checked_box,
        keypoints=np.where(visible[:, None], keypoints, 0.0),
        visible=visible,
        area=float(area or checked_box[2] * checked_box[3]),
        image_size=image_size,
        source=source,
        **rest,  # type: ignore[arg-type]  # the remaining fields pass through unchanged
    )


def _checked_box(box: NDArray[np.float64], image_size: tuple[int, int], source: str) -> NDArray[np.float64]:
    x, y, width, height = box
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        raise InputError(
            f"{source}: the box {box.tolist()} is empty; x, y, width, height in pixels are expected. "
            "Correct it, or leave such records out with data.on_error=skip"
        )
    if width > LARGEST_BOX * image_size[0] or height > LARGEST_BOX * image_size[1]:
        raise InputError(
            f"{source}: the box {box.tolist()} is more than {LARGEST_BOX} times the photograph of "
            f"{image_size[0]}×{image_size[1]} pixels. Correct it, or leave such records out with data.on_error=skip"
        )
    if x >= image_size[0] or y >= image_size[1] or x + width <= 0 or y + height <= 0:
        raise InputError(
            f"{source}: the box {box.tolist()} lies outside the photograph of {image_size[0]}×{image_size[1]} "
            "pixels. Correct it, or leave such records out with data.on_error=skip"
        )
    return box
