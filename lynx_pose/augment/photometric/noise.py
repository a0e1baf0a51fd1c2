"""The thesis's noises, with grains of the image's pixels.

A crop that is coarser than its image samples between grains: of white noise, bilinear sampling leaves (2/3)²
of the variance on average, so noise that is drawn on such a crop has 2/3 of the amplitude.
"""

from typing import Any, ClassVar

import albumentations
import cv2
import numpy as np
from typing_extensions import override

from lynx_pose.arrays import AnyArray, Pixels
from lynx_pose.augment.pixel_grid import IMAGE_PIXEL, GridTransform, PixelGrid

Range = tuple[float, float]
Random = np.random.Generator | np.random.RandomState
Grains = tuple[AnyArray, AnyArray]
BILINEAR = 2 / 3


class GaussianNoise(GridTransform):
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

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw the standard deviation, and the generator of the noise."""
        return {"deviation": self.py_random.uniform(*self.var_limit) ** 0.5, "rng": self.new_generator()}

    @override
    def apply(self, img: Pixels, deviation: float, rng: np.random.Generator, grid: PixelGrid, **params: Any) -> Pixels:
        noise = rng.standard_normal(img.shape, dtype=np.float32)
        noise *= np.float32(deviation * amplitude(grid))
        noise += np.float32(self.mean)
        noise += img
        return np.clip(noise, 0, 255, out=noise).astype(np.uint8)


class MultiplicativeNoise(GridTransform):
    """Multiply each pixel by a number drawn uniformly, the same for its channels.

    Args:
        multiplier: range of the factor.
        p: probability.
    """

    def __init__(self, multiplier: Range, p: float = 0.5):
        super().__init__(p=p)
        self.multiplier = tuple(multiplier)

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw the generator of the factors."""
        return {"rng": self.new_generator()}

    @override
    def apply(self, img: Pixels, rng: np.random.Generator, grid: PixelGrid, **params: Any) -> Pixels:
        low, high = self.multiplier
        spread = np.float32((high - low) * amplitude(grid))
        factor = (rng.random(img.shape[:2], dtype=np.float32) - np.float32(0.5)) * spread + np.float32((low + high) / 2)
        return np.clip(img * factor[..., None], 0, 255).astype(np.uint8)


class ISONoise(GridTransform):
    """Grain of a high ISO setting, in hue and lightness (Equations 25 and 26 of the thesis).

    Args:
        color_shift: range of c; the hue's noise has a standard deviation of 360 c i degrees, as in albumentations;
            Equation 26 calls it the variance.
        intensity: range of i; the lightness's noise is Poisson with mean 255 i std(L) of the whole image.
        p: probability.
    """

    measures_whole: ClassVar[bool] = True

    def __init__(self, color_shift: Range, intensity: Range, p: float = 0.5):
        super().__init__(p=p)
        self.color_shift = tuple(color_shift)
        self.intensity = tuple(intensity)

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw c, i and the generator of the two noise fields; measure the image's lightness."""
        return {
            "color_shift": self.py_random.uniform(*self.color_shift),
            "intensity": self.py_random.uniform(*self.intensity),
            "rng": self.new_generator(),
            "deviation": lightness_deviation(whole),
        }

    def apply(
        self,
        img: Pixels,
        color_shift: float,
        intensity: float,
        deviation: float,
        rng: Random,
        grid: PixelGrid,
        **params: Any,
    ) -> Pixels:
        """Add to [H, W, 3]; the lightness's field is drawn first, then the hue's."""
        hls = cv2.cvtColor(img.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2HLS)
        grains = _image_grains if grid.is_native else _sampled_grains
        poisson, shift = grains(deviation * intensity * 255, color_shift * 360 * intensity, hls.shape[:2], rng)
        hue = hls[..., 0] + shift
        hls[..., 0] = np.where(hue < 0, hue + 360, np.where(hue > 360, hue - 360, hue))
        hls[..., 1] = hls[..., 1] + poisson / 255 * (1 - hls[..., 1])
        return (cv2.cvtColor(hls, cv2.COLOR_HLS2RGB) * 255).astype(np.uint8)


def _image_grains(mean: float, deviation: float, shape: tuple[int, int], rng: Random) -> Grains:
    """Draw lightness, Poisson with `mean`, and hue, normal with `deviation`, of image pixels [H, W]."""
    return rng.poisson(mean, size=shape), rng.normal(0, deviation, size=shape)


def _sampled_grains(mean: float, deviation: float, shape: tuple[int, int], rng: Any) -> Grains:
    """Draw what sampling leaves of `_image_grains`; a mean of four Poisson numbers is nearly normal."""
    lightness, hue = rng.standard_normal((2, *shape), dtype=np.float32)
    lightness *= np.float32(mean**0.5 * BILINEAR)
    lightness += np.float32(mean)
    return np.maximum(lightness, 0, out=lightness), hue * np.float32(deviation * BILINEAR)


class Downscale(GridTransform):
    """Shrink and enlarge again, both by nearest neighbours: squares of one colour.

    Args:
        scale_range: of the factor by which the image shrinks.
        p: probability.
    """

    def __init__(self, scale_range: Range, p: float = 0.5):
        super().__init__(p=p)
        self.scale_range = tuple(scale_range)

    @override
    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        grid.require_pixel_size(IMAGE_PIXEL)
        return {"scale": self.py_random.uniform(*self.scale_range)}

    def apply(self, img: Pixels, scale: float, grid: PixelGrid, **params: Any) -> Pixels:
        """Coarsen [H, W, 3]; the squares lie where they lie on the whole image."""
        if not grid.is_native:
            return img
        columns, rows = (
            np.clip(_square_sources(length, scale)[start : start + side] - start, 0, side - 1)
            for length, start, side in zip(grid.image_size, grid.origin, img.shape[1::-1], strict=True)
        )
        # One row of each square, whose pixels are moved as one number each, and then its copies.
        kept, copies = np.unique(rows, return_inverse=True)
        numbers = cv2.cvtColor(img[kept], cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
        squares = np.take(numbers, columns, axis=1)[..., None].view(np.uint8)
        return np.take(cv2.cvtColor(squares, cv2.COLOR_RGBA2RGB), copies, axis=0)


def _square_sources(length: int, scale: float) -> AnyArray:
    """Return for each pixel along a side of the image the pixel whose colour it takes, as OpenCV resizes."""
    small = max(round(length * scale), 1)
    squares = np.floor(np.arange(length) * (1 / (length / small))).clip(max=small - 1)
    return np.floor(squares * (1 / scale)).clip(max=length - 1).astype(np.int64)


class Sharpen(albumentations.Sharpen):
    """Sharpen by a 3×3 kernel (Equation 28 of the thesis)."""

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Refuse grids that are coarser than the image."""
        if data.get("grid"):
            data["grid"].require_pixel_size(IMAGE_PIXEL)
        return {}


def amplitude(grid: PixelGrid) -> float:
    """Return the share of a noise's amplitude that sampling leaves on the grid."""
    return 1.0 if grid.is_native else BILINEAR


def lightness_deviation(img: Pixels) -> float:
    """Return the standard deviation of the HLS lightness, which is in [0, 1]."""
    scaled = img.astype(np.float32) * np.float32(1 / 255)
    return float(cv2.meanStdDev(cv2.cvtColor(scaled, cv2.COLOR_RGB2HLS))[1][1, 0])
