"""Noises of the thesis that albumentations 2.0.8 computes differently from the version it used."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from albumentations import ImageOnlyTransform
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Range = tuple[float, float]


class GaussianNoise(ImageOnlyTransform):
    """Add Gaussian noise, independent by pixel and channel; the variance is drawn uniformly.

    Args:
        var_limit: range of the variance, in squared levels of 0–255.
        mean: mean of the noise, in levels.
        p: probability.
    """

    def __init__(self, var_limit: Range, mean: float = 0.0, p: float = 0.5):
        super().__init__(p=p)
        self.var_limit = tuple(var_limit)
        self.mean = mean

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the variance, then the noise [H, W, 3]."""
        deviation = self.py_random.uniform(*self.var_limit) ** 0.5
        noise = self.random_generator.standard_normal(params["shape"], dtype=np.float32)
        return {"noise": noise * np.float32(deviation) + np.float32(self.mean)}

    def apply(self, img: Image, noise: NDArray[np.float32], **params: Any) -> Image:
        """Add to [H, W, 3]."""
        return np.clip(img + noise, 0, 255).astype(np.uint8)


class ISONoise(ImageOnlyTransform):
    """Grain of a high ISO setting, in hue and lightness (Equations 25 and 26 of the thesis).

    Args:
        color_shift: range of c; the hue's noise has a standard deviation of 360 c i degrees.
        intensity: range of i; the lightness's noise is Poisson with mean 255 i std(L).
        p: probability.
    """

    def __init__(self, color_shift: Range, intensity: Range, p: float = 0.5):
        super().__init__(p=p)
        self.color_shift = tuple(color_shift)
        self.intensity = tuple(intensity)

    def get_params(self) -> dict[str, Any]:
        """Draw c, i and the seed of the two noise fields."""
        return {
            "color_shift": self.py_random.uniform(*self.color_shift),
            "intensity": self.py_random.uniform(*self.intensity),
            "rng": np.random.default_rng(self.random_generator.integers(2**63)),
        }

    def apply(
        self,
        img: Image,
        color_shift: float,
        intensity: float,
        rng: np.random.Generator | np.random.RandomState,
        **params: Any,
    ) -> Image:
        """Add to [H, W, 3]; the lightness's field is drawn first, then the hue's."""
        hls = cv2.cvtColor(img.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2HLS)
        deviation = float(cv2.meanStdDev(hls)[1][1, 0])
        poisson = rng.poisson(deviation * intensity * 255, size=hls.shape[:2])
        hue = hls[..., 0] + rng.normal(0, color_shift * 360 * intensity, size=hls.shape[:2])
        hls[..., 0] = np.where(hue < 0, hue + 360, np.where(hue > 360, hue - 360, hue))
        hls[..., 1] += poisson / 255 * (1 - hls[..., 1])
        return (cv2.cvtColor(hls, cv2.COLOR_HLS2RGB) * 255).astype(np.uint8)
