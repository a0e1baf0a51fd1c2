"""Colour transforms of the thesis that albumentations 2.0.8 computes differently from the version it used."""

from typing import Any, ClassVar

import albumentations
import cv2
import numpy as np

from lynx_pose.arrays import Pixels

Range = tuple[float, float]
CONTRAST = 1


class ColorJitter(albumentations.ColorJitter):
    """Brightness, contrast, saturation and hue in random order; contrast is about the whole image's mean grey."""

    measures_whole: ClassVar[bool] = True

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Measure the mean grey that the small copy of the image has when contrast's turn comes."""
        if "images" not in data:
            return {}
        before = params["order"][: params["order"].index(CONTRAST)]
        whole = super().apply(data["images"][0], **params | {"order": before})
        return {"mean_grey": _mean_grey(whole)}

    def apply(self, img: Pixels, order: list[int], mean_grey: float | None = None, **params: Any) -> Pixels:
        """Change [H, W, 3]; without `mean_grey` it is the whole image."""
        place = order.index(CONTRAST)
        img = super().apply(img, order=order[:place], **params)
        img = _with_contrast(img, params["contrast"], _mean_grey(img) if mean_grey is None else mean_grey)
        return super().apply(img, order=order[place + 1 :], **params)


def _mean_grey(img: Pixels) -> float:
    return float(cv2.cvtColor(img, cv2.COLOR_RGB2GRAY).mean())


def _with_contrast(img: Pixels, factor: float, mean_grey: float) -> Pixels:
    levels = np.arange(256, dtype=np.float32)
    table = levels * np.float32(factor) + np.float32(mean_grey * (1 - factor))
    return cv2.LUT(img, np.clip(table, 0, 255).astype(np.uint8))


class HueSaturationValue(albumentations.ImageOnlyTransform):
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

    def apply(self, img: Pixels, hue_shift: float, sat_shift: float, val_shift: float, **params: Any) -> Pixels:
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
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
