"""Blurs of the thesis that albumentations 2.0.8 computes differently from the version it used."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from albumentations import ImageOnlyTransform
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def gaussian_sigma(kernel_size: int, offset: float) -> float:
    """Return the standard deviation in pixels that goes with a kernel: 0.3 ((k − 1) / 2 − 1) + offset."""
    return 0.3 * ((kernel_size - 1) / 2 - 1) + offset


class GaussianBlur(ImageOnlyTransform):
    """Gaussian blur whose width follows from the kernel's size, as OpenCV derives it.

    Args:
        blur_limit: smallest and largest kernel size in image pixels; odd sizes between them are drawn.
        sigma_offset: 0.8 as the thesis's tool computed; 0 as the thesis prints the formula.
        p: probability.
    """

    def __init__(self, blur_limit: tuple[int, int], sigma_offset: float = 0.8, p: float = 0.5):
        super().__init__(p=p)
        self.blur_limit = tuple(blur_limit)
        self.sigma_offset = sigma_offset

    def get_params(self) -> dict[str, Any]:
        """Draw the kernel size."""
        return {"kernel_size": draw_odd(self.py_random, *self.blur_limit)}

    def apply(self, img: Image, kernel_size: int, **params: Any) -> Image:
        """Blur [H, W, 3]."""
        sigma = gaussian_sigma(kernel_size, self.sigma_offset)
        return cv2.GaussianBlur(img, (kernel_size, kernel_size), sigma)  # type: ignore[return-value]  # cv2 states no dtype


class HorizontalMotionBlur(ImageOnlyTransform):
    """Average along a horizontal line through each pixel, as the thesis's text describes.

    Args:
        blur_limit: smallest and largest length in image pixels; odd lengths between them are drawn.
        p: probability.
    """

    def __init__(self, blur_limit: tuple[int, int], p: float = 0.5):
        super().__init__(p=p)
        self.blur_limit = tuple(blur_limit)

    def get_params(self) -> dict[str, Any]:
        """Draw the length."""
        return {"kernel_size": draw_odd(self.py_random, *self.blur_limit)}

    def apply(self, img: Image, kernel_size: int, **params: Any) -> Image:
        """Blur [H, W, 3]."""
        line = np.full((1, kernel_size), 1 / kernel_size, dtype=np.float32)
        return cv2.filter2D(img, -1, line)  # type: ignore[return-value]  # cv2 states no dtype


class RandomLineMotionBlur(HorizontalMotionBlur):
    """Average along a random line in a k×k mask, as the thesis's tool did.

    The line seldom passes through the mask's centre, so the picture moves against its keypoints, by
    9.5 pixels on average over the thesis's range.
    """

    def get_params(self) -> dict[str, Any]:
        """Draw the mask's size and the line's two ends in it."""
        size = draw_odd(self.py_random, *self.blur_limit)
        start_x, end_x = (self.py_random.randint(0, size - 1) for _ in range(2))
        if start_x == end_x:
            start_y, end_y = self.py_random.sample(range(size), 2)
        else:
            start_y, end_y = (self.py_random.randint(0, size - 1) for _ in range(2))
        return {"kernel_size": size, "line": ((start_x, start_y), (end_x, end_y))}

    def apply(  # type: ignore[override]  # it draws one parameter more
        self, img: Image, kernel_size: int, line: tuple[tuple[int, int], tuple[int, int]], **params: Any
    ) -> Image:
        """Blur [H, W, 3]."""
        mask = np.zeros((kernel_size, kernel_size), dtype=np.uint8)
        cv2.line(mask, *line, color=1, thickness=1)
        return cv2.filter2D(img, -1, mask.astype(np.float32) / mask.sum())  # type: ignore[return-value]  # cv2 states no dtype


def draw_odd(random: Any, low: int, high: int) -> int:
    """Draw an odd number uniformly from [low, high]."""
    return random.randrange(low | 1, high + 1, 2)
