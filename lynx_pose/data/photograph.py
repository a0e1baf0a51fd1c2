"""The pixels of a record's photograph, as far as a sample needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.crop import Matrix, invert, transform_points
from lynx_pose.data.image import read_checked
from lynx_pose.data.records import PoseRecord

Pixels = NDArray[np.uint8]
THUMBNAIL_SIDE = 128


@dataclass(frozen=True)
class Bounds:
    """A rectangle of image pixels: left and top belong to it, right and bottom do not."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of_crop(cls, matrix: Matrix, output_size: tuple[int, int], margin: int = 0) -> Bounds:
        """Return what a crop samples, given its map from image to crop pixels, and `margin` pixels more."""
        width, height = output_size
        corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], dtype=np.float64)
        seen = transform_points(corners, invert(matrix))
        left, top = np.floor(seen.min(axis=0)).astype(int) - margin
        # Bilinear sampling takes one pixel more.
        right, bottom = np.floor(seen.max(axis=0)).astype(int) + 2 + margin
        return cls(int(left), int(top), int(right), int(bottom))

    def clipped(self, size: tuple[int, int]) -> Bounds:
        """Return the part inside a photograph of (width, height), of one pixel at least."""
        width, height = size
        left, top = min(max(self.left, 0), width - 1), min(max(self.top, 0), height - 1)
        return Bounds(left, top, max(min(self.right, width), left + 1), max(min(self.bottom, height), top + 1))

    def inside(self, size: tuple[int, int]) -> bool:
        """Whether all of it lies in a photograph of (width, height)."""
        return Bounds(0, 0, *size).contains(self)

    def contains(self, other: Bounds) -> bool:
        """Whether the other rectangle lies inside this one."""
        starts = self.left <= other.left and self.top <= other.top
        return starts and other.right <= self.right and other.bottom <= self.bottom


@dataclass(frozen=True, eq=False)
class Cut:
    """A part of a photograph.

    Args:
        pixels: [h, w, 3] RGB, or [h, w, 4] with a channel that means nothing.
        left: image position of its first pixel's corner.
        top: of the same.
        reduction: image pixels along the side of one of its pixels.
    """

    pixels: Pixels
    left: int = 0
    top: int = 0
    reduction: int = 1

    @property
    def to_image(self) -> Matrix:
        """[2, 3] map from the cut's pixels to image pixels; the centre of a reduced pixel is that of its square."""
        half = (self.reduction - 1) / 2
        return np.array([[self.reduction, 0.0, self.left + half], [0.0, self.reduction, self.top + half]])


class Photograph:
    """A record's photograph, decoded on first use.

    Args:
        record: whose photograph it is.
    """

    def __init__(self, record: PoseRecord):
        self.record = record
        self.size = record.image_size

    @cached_property
    def whole(self) -> Pixels:
        """[H, W, 3] RGB."""
        return read_checked(self.record.image_path, self.record.image_size, self.record.source)

    def around(self, bounds: Bounds) -> Cut:
        """Return a part that has all of `bounds` that lies in the photograph; it may be reduced."""
        return Cut(self.whole)

    def native(self, bounds: Bounds) -> Cut:
        """Return a part that has all of `bounds` that lies in the photograph, in its own RGB pixels."""
        part = bounds.clipped(self.size)
        return Cut(self.whole[part.top : part.bottom, part.left : part.right], part.left, part.top)

    @property
    def thumbnail(self) -> Pixels:
        """[h, w, 3] a small copy, for what augmentation wants to know of the whole photograph."""
        return small_copy(self.whole)


class Photographs(Protocol):
    """Opens the photographs of records."""

    def prepare(self, records: Sequence[PoseRecord]) -> None:
        """Do beforehand what makes opening them faster."""
        ...

    def __call__(self, record: PoseRecord) -> Photograph:
        """Open a record's photograph."""
        ...


class PhotographFiles:
    """Decodes photographs from their files each time."""

    def prepare(self, records: Sequence[PoseRecord]) -> None:
        """Do nothing."""

    def __call__(self, record: PoseRecord) -> Photograph:
        """Open a record's photograph."""
        return Photograph(record)


def small_copy(image: Pixels) -> Pixels:
    """Sample a photograph at `THUMBNAIL_SIDE` places along its longer side, without averaging between them."""
    height, width = image.shape[:2]
    factor = min(1.0, THUMBNAIL_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]  # cv2 states no dtype
