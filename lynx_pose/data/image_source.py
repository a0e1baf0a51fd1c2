"""The pixels of a record's image, as far as a sample needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import cv2
import numpy as np

from lynx_pose.arrays import Matrix, Pixels
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.crop import invert, transform_points
from lynx_pose.data.image import read_checked

THUMBNAIL_SIDE = 128


@dataclass(frozen=True)
class Bounds:
    """A rectangle of image pixels: left and top belong to it, right and bottom do not."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of_crop(cls, matrix: Matrix, output_size: tuple[int, int], margin: int = 0) -> Self:
        """Return what a crop samples, given its map from image to crop pixels, and `margin` pixels more."""
        width, height = output_size
        corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], dtype=np.float64)
        sampled = transform_points(corners, invert(matrix))
        left, top = np.floor(sampled.min(axis=0)).astype(int) - margin
        # Bilinear sampling takes one pixel more.
        right, bottom = np.floor(sampled.max(axis=0)).astype(int) + 2 + margin
        return cls(int(left), int(top), int(right), int(bottom))

    def clipped(self, size: tuple[int, int]) -> "Bounds":
        """Return the part inside an image of (width, height), of one pixel at least."""
        width, height = size
        left, top = min(max(self.left, 0), width - 1), min(max(self.top, 0), height - 1)
        return Bounds(left, top, max(min(self.right, width), left + 1), max(min(self.bottom, height), top + 1))

    def contains(self, other: "Bounds") -> bool:
        """Whether the other rectangle lies inside this one."""
        starts = self.left <= other.left and self.top <= other.top
        return starts and other.right <= self.right and other.bottom <= self.bottom


@dataclass(frozen=True, eq=False)
class ImageRegion:
    """A part of an image.

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
        """[2, 3] map from the region's pixels to image pixels; the centre of a reduced pixel is that of its square."""
        half = (self.reduction - 1) / 2
        return np.array([[self.reduction, 0.0, self.left + half], [0.0, self.reduction, self.top + half]])


class SourceImage:
    """A record's image, decoded on first use.

    Args:
        record: whose image it is.
    """

    def __init__(self, record: PoseRecord):
        self.record = record
        self.size = record.image_size

    @cached_property
    def whole(self) -> Pixels:
        """[H, W, 3] RGB."""
        return read_checked(self.record.image_path, self.record.image_size, self.record.source)

    def around(self, bounds: Bounds) -> ImageRegion:
        """Return a region that has all of `bounds` that lies in the image; it may be reduced."""
        return ImageRegion(self.whole)

    def native(self, bounds: Bounds) -> ImageRegion:
        """Return a region that has all of `bounds` that lies in the image, in its own RGB pixels."""
        part = bounds.clipped(self.size)
        return ImageRegion(self.whole[part.top : part.bottom, part.left : part.right], part.left, part.top)

    @property
    def thumbnail(self) -> Pixels:
        """[h, w, 3] a small copy, for what augmentation wants to know of the whole image."""
        return make_thumbnail(self.whole)


class ImageSource(Protocol):
    """Opens the images of records."""

    def prepare(self, records: Sequence[PoseRecord]) -> None:
        """Do beforehand what makes opening them faster."""
        ...

    def __call__(self, record: PoseRecord) -> SourceImage:
        """Open a record's image."""
        ...


class ImageFiles:
    """Decodes images from their files each time."""

    def prepare(self, records: Sequence[PoseRecord]) -> None:
        """Do nothing."""

    def __call__(self, record: PoseRecord) -> SourceImage:
        """Open a record's image."""
        return SourceImage(record)


def make_thumbnail(image: Pixels) -> Pixels:
    """Sample an image at `THUMBNAIL_SIDE` places along its longer side, without averaging between them."""
    height, width = image.shape[:2]
    factor = min(1.0, THUMBNAIL_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
