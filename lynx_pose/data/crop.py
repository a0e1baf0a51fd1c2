"""The crop around an animal: one invertible affine map from image pixels to crop pixels.

Pixel centres sit at integer coordinates, as in COCO, OpenCV and MMPose. Two conventions of the map exist, and each
codec belongs to one of them (`CropConvention`); mixed, they would cost pixels without a word.
"""

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import ArrayLike

from lynx_pose.arrays import Floats, Matrix, Pixels

# Side of the crop in sides of the annotated box.
PADDING = 1.25
# OpenCV draws polygons at fractions of a pixel of this many bits.
MASK_BITS = 4


@dataclass(frozen=True, eq=False)
class CropBox:
    """A rotated box in image pixels, as a crop sees it.

    Args:
        center: [2] x, y.
        size: [2] width and height, with the aspect ratio of the crop.
        rotation: degrees; the classic map turns the content of the crop anticlockwise by it, the UDP map
            clockwise, as their reference implementations do (augmentation draws both signs alike).
    """

    center: Floats
    size: Floats
    rotation: float = 0.0


def fit_aspect_ratio(size: ArrayLike, aspect_ratio: float) -> Floats:
    """Enlarge (width, height) in one direction until width / height is `aspect_ratio`."""
    width, height = np.asarray(size, dtype=np.float64)
    return np.array([max(width, height * aspect_ratio), max(height, width / aspect_ratio)])


def crop_box(box: ArrayLike, aspect_ratio: float, padding: float = PADDING) -> CropBox:
    """Return the crop of an annotated box [x, y, width, height]: same centre, padded, of the aspect ratio."""
    x, y, width, height = np.asarray(box, dtype=np.float64)
    size = fit_aspect_ratio((width * padding, height * padding), aspect_ratio)
    return CropBox(center=np.array([x + width / 2, y + height / 2]), size=size)


class CropConvention(Enum):
    """Where the edges of a crop's box fall on the crop's grid of pixels.

    `CLASSIC`: the box of width w covers the crop's W pixels, factor W / w; for heatmaps whose cell i sits at crop pixel
    i × stride. `UDP` (Huang et al. 2020, arXiv 1911.07524): box edges fall on the outer pixel centres, factor
    (W − 1) / w; for heatmaps that span the crop from edge to edge.
    """

    CLASSIC = "classic"
    UDP = "udp"

    def matrix(self, crop: CropBox, output_size: tuple[int, int]) -> Matrix:
        """Return the [2, 3] map from image to crop pixels: crop point = matrix @ (x, y, 1).

        Args:
            crop: box in image pixels.
            output_size: (width, height) of the crop.
        """
        size = np.asarray(output_size, dtype=np.float64)
        if self is CropConvention.UDP:
            return _about(crop, -crop.rotation, (size - 1) / crop.size, (size - 1) / 2)
        # One factor for both axes: with a box of the crop's aspect ratio they are equal anyway.
        return _about(crop, crop.rotation, np.full(2, size[0] / crop.size[0]), size / 2)


def _about(crop: CropBox, degrees: float, scale: Floats, target: Floats) -> Matrix:
    """Turn and scale about the crop's centre, then move that centre to `target`."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    linear = scale[:, None] * turn
    return np.column_stack([linear, target - linear @ crop.center])


def pixel_side(matrix: Matrix) -> float:
    """Return the image pixels along the side of a crop's pixel."""
    return float(1 / np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def mirror_matrix(image_width: int) -> Matrix:
    """Map an image's pixels to those of its mirror image: x becomes width − 1 − x."""
    return np.array([[-1.0, 0.0, image_width - 1.0], [0.0, 1.0, 0.0]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """Return the [2, 3] map that applies `inner` first and `outer` to its result."""
    return outer @ np.vstack([inner, [0.0, 0.0, 1.0]])


def invert(matrix: Matrix) -> Matrix:
    """Return the [2, 3] map back."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def transform_points(points: Floats, matrix: Matrix) -> Floats:
    """Apply a [2, 3] map to [..., 2] points."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def warp(
    image: Pixels,
    matrix: Matrix,
    output_size: tuple[int, int],
    border: int = cv2.BORDER_CONSTANT,
    interpolation: int = cv2.INTER_LINEAR,
) -> Pixels:
    """Sample a crop [H, W, 3] from an image of three or four channels: bilinear, black where it leaves the image.

    OpenCV 5 samples four channels in half the time of three; the fourth is dropped.
    """
    crop = cv2.warpAffine(image, matrix, output_size, flags=interpolation, borderMode=border)
    return crop if crop.shape[2] == 3 else cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)


def inside_mask(matrix: Matrix, image_size: tuple[int, int], output_size: tuple[int, int]) -> Pixels:
    """Return [H, W]: 255 where a crop pixel lies in the image, 0 elsewhere."""
    right, bottom = (side - 0.5 for side in image_size)
    corners = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]])
    mask = np.zeros(output_size[::-1], dtype=np.uint8)
    fixed = np.rint(transform_points(corners, matrix) * (1 << MASK_BITS)).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, shift=MASK_BITS)
    return mask
