"""One annotated animal, and what a reader makes of an annotation file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError

# Of the image's sides; the box of an animal that is seen in part may be larger than the image.
LARGEST_BOX = 20
SKIP_ADVICE = "Correct it, or leave such records out with data.on_error=skip"


@dataclass(frozen=True, eq=False)
class PoseRecord:
    """One animal in one image.

    Args:
        id: name of the annotation, unique in its dataset.
        image_id: the dataset's own name of the image.
        image_path: the file.
        image_size: (width, height) in pixels, as annotated.
        box: [4] x, y, width, height in image pixels.
        keypoints: [K, 2] in image pixels, x before y; zeros where not labelled.
        visible: [K] bool, true where the point is labelled and inside the image.
        occluded: [K] bool, true where it is labelled though something hides it, as far as the dataset says.
        area: square pixels of the object, the square of the scale in OKS.
        source: file and record, for messages.
        identity: the individual's name, where known.
        species: its name, where the dataset has several.
        orientation: the side that the camera sees, where known.
        coat_pattern: such as `spotted` or `rosettes`, where known.
        place: the camera or its site, where known.
        sequence: the burst, event or encounter that the image belongs to, where known.
        time: when it was taken, as the dataset writes it, where known.
        light: what it was taken in, such as `day` or `infrared`, where the dataset says.
        polygon: flat outline x, y, x, y, … in image pixels, where known.
        points: [K, 3] in metres from the animal's root, such as its withers, in camera axes: x to the right, y down, z
            away; hidden keypoints too; None where the dataset has no third dimension.
        pixels_per_metre: of the image, where the animal is; None as `points`.
        subsets: the side (`train`, `val` or `test`) on which each of the dataset's own splits puts this record.
    """

    id: str
    image_id: int | str
    image_path: Path
    image_size: tuple[int, int]
    box: Floats
    keypoints: Floats
    visible: Mask
    area: float
    source: str
    identity: str | None = None
    species: str | None = None
    orientation: str | None = None
    coat_pattern: str | None = None
    place: str | None = None
    sequence: str | None = None
    time: str | None = None
    light: str | None = None
    polygon: tuple[float, ...] = ()
    points: Floats | None = None
    pixels_per_metre: float | None = None
    subsets: Mapping[str, str] = field(default_factory=dict)
    occluded: Mask = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        if not self.occluded.size:
            object.__setattr__(self, "occluded", np.zeros(len(self.visible), dtype=bool))

    @property
    def depth(self) -> Floats:
        """[K] how far keypoints lie behind the root, in image pixels; NaN where the dataset does not say."""
        if self.points is None or self.pixels_per_metre is None:
            return np.full(len(self.visible), np.nan)
        return self.points[:, 2] * self.pixels_per_metre

    @property
    def image_name(self) -> str:
        """What to call the image to people: its own name, and its file's where that is only a number."""
        return self.image_path.name if str(self.image_id).isdecimal() else str(self.image_id)


@dataclass(frozen=True)
class Annotations:
    """Everything a reader found: usable records, and a count of what was skipped and why."""

    records: Sequence[PoseRecord]
    skeleton: Skeleton
    skipped: Counter[str]
    fingerprint: str
    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.records:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.skipped.items())
            names = ", ".join(str(file) for file in self.files)
            raise InputError(f"{names}: no annotation with a pose is left ({reasons or 'the file has none'})")


def make_record(
    *,
    box: ArrayLike,
    keypoints: Floats,
    labelled: Mask,
    image_size: tuple[int, int],
    source: str,
    skipped: Counter[str],
    area: float | None = None,
    occluded: Mask | None = None,
    **rest: object,
) -> PoseRecord:
    """Check one annotation's geometry and return its record.

    Points outside the image are no error: they are counted in `skipped` and take no part.

    Raises:
        InputError: the box is empty, enormous or outside the image, or no labelled keypoint is inside it.
    """
    values = np.asarray(box, dtype=np.float64)
    try:
        check_box(values, image_size)
        if (values[2:] > LARGEST_BOX * np.asarray(image_size)).any():
            raise InputError(
                f"the box {values.tolist()} is more than {LARGEST_BOX} times the image of "
                f"{image_size[0]}×{image_size[1]} pixels"
            )
    except InputError as error:
        raise InputError(f"{source}: {error}. {SKIP_ADVICE}") from None
    inside = ((keypoints >= 0) & (keypoints <= np.asarray(image_size) - 1)).all(axis=1)
    skipped["keypoints outside their image"] += int((labelled & ~inside).sum())
    visible = labelled & inside
    if not visible.any():
        raise InputError(f"{source}: none of its keypoints lies inside the image of {image_size}")
    return PoseRecord(
        box=values,
        keypoints=np.where(visible[:, None], keypoints, 0.0),
        visible=visible,
        occluded=visible & occluded if occluded is not None else np.zeros(len(visible), dtype=bool),
        area=float(area or values[2] * values[3]),
        image_size=image_size,
        source=source,
        **rest,  # type: ignore[arg-type]  # the remaining fields pass through unchanged
    )


def check_box(box: Floats, image_size: tuple[int, int]) -> None:
    """Refuse a box [x, y, width, height] that is empty or has no part in an image of (width, height).

    Raises:
        InputError: it says which.
    """
    x, y, width, height = box
    if not (np.isfinite(box).all() and width > 0 and height > 0):
        raise InputError(f"the box {box.tolist()} is empty; x, y, width, height in pixels are expected")
    if x >= image_size[0] or y >= image_size[1] or x + width <= 0 or y + height <= 0:
        raise InputError(f"the box {box.tolist()} lies outside the image of {image_size[0]}×{image_size[1]} pixels")
