"""Colour transforms of the thesis that albumentations 2.0.8 computes differently from the version it used."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from albumentations import ImageOnlyTransform
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Range = tuple[float, float]


class HueSaturationValue(ImageOnlyTransform):
    """Shift OpenCV's hue, saturation and value; grey pixels, such as those of infrared frames, shift too.

    Args:
        hue_shift_limit: range of the hue shift, in steps of 2°.
        sat_shift_limit: range of the saturation shift, in levels of 0–255.
        val_shift_limit: range of the value shift, in levels of 0–255.
        p: probability.
    """

    def __init__(self, hue_shift_limit: Range, sat_shift_limit: Range, val_shift_limit: Range, p: float = 0.5):
        super().__init__(p=p)
        self.hue_shift_limit = tuple(hue_shift_limit)
        self.sat_shift_limit = tuple(sat_shift_limit)
        self.val_shift_limit = tuple(val_shift_limit)

    def get_params(self) -> dict[str, Any]:
        """Draw the three shifts."""
        return {
            "hue_shift": self.py_random.uniform(*self.hue_shift_limit),
            "sat_shift": self.py_random.uniform(*self.sat_shift_limit),
            "val_shift": self.py_random.uniform(*self.val_shift_limit),
        }

    def apply(self, img: Image, hue_shift: float, sat_shift: float, val_shift: float, **params: Any) -> Image:
        """Shift [H, W, 3] through one lookup table a channel."""
        levels = np.arange(256)
        tables = np.stack(
            [
                np.mod(levels + hue_shift, 180),
                np.clip(levels + sat_shift, 0, 255),
                np.clip(levels + val_shift, 0, 255),
            ],
            axis=-1,
        ).astype(np.uint8)
        hsv = cv2.LUT(cv2.cvtColor(img, cv2.COLOR_RGB2HSV), tables[None])
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)  # type: ignore[return-value]  # cv2 states no dtype
