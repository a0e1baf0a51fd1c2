"""The thesis's blurs, with kernels in pixels of the image."""

from typing import Any, ClassVar

import cv2
import numpy as np
from typing_extensions import override

from lynx_pose.arrays import AnyArray, Floats, Pixels
from lynx_pose.augment.pixel_grid import IMAGE_PIXEL, GridTransform, PixelGrid

Line = tuple[tuple[int, int], tuple[int, int]]


class _KernelBlur(GridTransform):
    """What the blurs share.

    Args:
        blur_limit: smallest and largest kernel size in image pixels; odd sizes between them are drawn.
        p: probability.
    """

    # PixelGrid pixels that a kernel must span to do what it does to image pixels (35 dB).
    places: ClassVar[float]

    def __init__(self, blur_limit: tuple[int, int], p: float = 0.5):
        super().__init__(p=p)
        self.blur_limit = tuple(blur_limit)

    @override
    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        low, high = self.blur_limit
        kernel_size = self.py_random.randrange(low | 1, high + 1, 2)
        grid.require_pixel_size(max(kernel_size / self.places, IMAGE_PIXEL))
        return {"kernel_size": kernel_size}


class AverageBlur(_KernelBlur):
    """Mean over a square."""

    places = 2.5

    @override
    def apply(self, img: Pixels, kernel_size: int, grid: PixelGrid, **params: Any) -> Pixels:
        return box_blur(img, kernel_size / grid.pixel_size)


class MedianBlur(_KernelBlur):
    """Median over a square; on a coarser grid the nearest odd size."""

    places = 4.2

    @override
    def apply(self, img: Pixels, kernel_size: int, grid: PixelGrid, **params: Any) -> Pixels:
        size = 2 * round((kernel_size / grid.pixel_size - 1) / 2) + 1
        return cv2.medianBlur(img, max(size, 1))


class GaussianBlur(_KernelBlur):
    """Gaussian blur whose width follows from the kernel's size, as OpenCV derives it.

    Args:
        blur_limit: smallest and largest kernel size in image pixels; odd sizes between them are drawn.
        sigma_offset: 0.8 as the thesis's tool computed; 0 as the thesis prints the formula.
        p: probability.
    """

    places = 4

    def __init__(self, blur_limit: tuple[int, int], sigma_offset: float = 0.8, p: float = 0.5):
        super().__init__(blur_limit, p=p)
        self.sigma_offset = sigma_offset

    @override
    def apply(self, img: Pixels, kernel_size: int, grid: PixelGrid, **params: Any) -> Pixels:
        sigma = gaussian_sigma(kernel_size, self.sigma_offset) / grid.pixel_size
        size = 2 * int(np.ceil((kernel_size / grid.pixel_size - 1) / 2)) + 1
        return cv2.GaussianBlur(img, (size, size), sigma)


class HorizontalMotionBlur(_KernelBlur):
    """Average along a horizontal line through each pixel, as the thesis's text describes."""

    places = 5.5

    def apply(self, img: Pixels, kernel_size: int, grid: PixelGrid, **params: Any) -> Pixels:
        """Blur [H, W, 3] along the direction that is horizontal in the image."""
        along = np.arange(kernel_size) - kernel_size // 2
        return filter_at(img, grid.offsets(np.column_stack([along, 0 * along])))


class RandomLineMotionBlur(_KernelBlur):
    """Average along a random line in a k×k mask, as the thesis's tool did.

    The line seldom passes through the mask's centre, so the picture moves against its keypoints, by
    9.5 pixels on average over the thesis's range.
    """

    places = 5.5

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw the mask's size and the line's two ends in it."""
        drawn = super().draw(grid, whole)
        size = drawn["kernel_size"]
        start_x, end_x = (self.py_random.randint(0, size - 1) for _ in range(2))
        if start_x == end_x:
            start_y, end_y = self.py_random.sample(range(size), 2)
        else:
            start_y, end_y = (self.py_random.randint(0, size - 1) for _ in range(2))
        return drawn | {"line": ((start_x, start_y), (end_x, end_y))}

    @override
    def apply(
        self,
        img: Pixels,
        kernel_size: int,
        line: tuple[tuple[int, int], tuple[int, int]],
        grid: PixelGrid,
        **params: Any,
    ) -> Pixels:
        mask = np.zeros((kernel_size, kernel_size), dtype=np.uint8)
        cv2.line(mask, *line, color=1, thickness=1)
        ys, xs = np.nonzero(mask)
        return filter_at(img, grid.offsets(np.column_stack([xs, ys]) - kernel_size // 2))


def gaussian_sigma(kernel_size: int, offset: float) -> float:
    """Return the standard deviation in pixels that goes with a kernel: 0.3 ((k − 1) / 2 − 1) + offset."""
    return 0.3 * ((kernel_size - 1) / 2 - 1) + offset


def box_blur(img: Pixels, side: float) -> Pixels:
    """Average [H, W, ...] over a square whose side need not be a whole number of pixels."""
    if side == int(side):
        return cv2.blur(img, (int(side), int(side)))
    reach = max(int(np.ceil((side - 1) / 2)), 0)
    taps = np.ones(2 * reach + 1, dtype=np.float32)
    if reach:
        taps[[0, -1]] = (side - (2 * reach - 1)) / 2
    taps /= taps.sum()
    return cv2.sepFilter2D(img, -1, taps, taps)


def filter_at(img: Pixels, offsets: Floats) -> Pixels:
    """Average [H, W, 3] over places at offsets [N, 2] in pixels, x before y."""
    kernel, anchor = spread(offsets)
    return cv2.filter2D(img, -1, kernel / len(offsets), anchor=anchor)


def spread(points: Floats) -> tuple[AnyArray, tuple[int, int]]:
    """Draw points [N, 2] in pixels, x before y, each shared among four pixels.

    Returns:
        [h, w] their sums, and the pixel (x, y) in it of the point (0, 0).
    """
    corner = np.floor(points).astype(np.int64)
    share = (points - corner).astype(np.float32)
    low, high = np.minimum(corner.min(axis=0), 0), np.maximum(corner.max(axis=0), 0)
    x, y = (corner - low).T
    columns, rows = high - low + 2
    sums = np.zeros((rows, columns), dtype=np.float32)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        np.add.at(sums, (y + dy, x + dx), np.abs(1 - dx - share[:, 0]) * np.abs(1 - dy - share[:, 1]))
    # Points on whole pixels leave the last row and column empty, and filters take longer with them.
    sums = sums[: rows if sums[-1].any() else -1, : columns if sums[:, -1].any() else -1]
    return sums, (int(-low[0]), int(-low[1]))
