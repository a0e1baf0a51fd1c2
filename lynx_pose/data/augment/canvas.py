"""Where pixels lie in their photograph, so that a transform can keep its parameters in image pixels.

A transform is given a whole photograph, a part of one, or a crop that was sampled from one. The canvas tells it
which: lengths are divided by `pixel`, positions go through `matrix`, and what a transform wants to know of the
whole photograph (its mean grey, say) it asks of a small copy that goes through the same transforms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from albumentations import ImageOnlyTransform
from numpy.typing import NDArray

from lynx_pose.data.crop import Matrix, transform_points

Pixels = NDArray[np.uint8]
IDENTITY: Matrix = np.eye(2, 3)
IMAGE_PIXEL = 1.0


@dataclass(frozen=True, eq=False)
class Canvas:
    """A grid of pixels over a photograph.

    Args:
        image_size: (width, height) of the photograph.
        matrix: [2, 3] map from image pixels to the canvas's.
    """

    image_size: tuple[int, int]
    matrix: Matrix

    @property
    def pixel(self) -> float:
        """Image pixels along the side of a canvas pixel."""
        return float(abs(np.linalg.det(self.matrix[:, :2])) ** -0.5)

    @property
    def is_native(self) -> bool:
        """Whether canvas pixels are image pixels, all of them or a part."""
        return bool(np.array_equal(self.matrix[:, :2], IDENTITY[:, :2]))

    @property
    def origin(self) -> tuple[int, int]:
        """The image position (x, y) of a native canvas's first pixel."""
        return -round(self.matrix[0, 2]), -round(self.matrix[1, 2])

    def points(self, points: NDArray[np.number[Any]]) -> NDArray[np.float64]:
        """Map [..., 2] image positions to the canvas."""
        return transform_points(points.astype(np.float64), self.matrix)

    def offsets(self, offsets: NDArray[np.number[Any]]) -> NDArray[np.float64]:
        """Map [..., 2] distances in image pixels to the canvas."""
        return offsets.astype(np.float64) @ self.matrix[:, :2].T


class NeedsFinerCanvas(Exception):
    """A transform cannot do on this canvas what it does to the photograph.

    Args:
        pixel: side in image pixels of the coarsest canvas pixels on which it can; 1 stands for image pixels.
    """

    def __init__(self, pixel: float):
        super().__init__(f"canvas pixels of at most {pixel:g} image pixels are needed")
        self.pixel = pixel


def require_pixel(canvas: Canvas, pixel: float) -> None:
    """Refuse a canvas whose pixels are larger.

    Raises:
        NeedsFinerCanvas: they are.
    """
    if not canvas.is_native and canvas.pixel > pixel:
        raise NeedsFinerCanvas(pixel)


class CanvasTransform(ImageOnlyTransform):
    """Base of the transforms that draw their parameters in image pixels.

    A subclass draws in `draw` and paints in `apply`; `canvas` is among the parameters of both. Data without a
    canvas are whole photographs.
    """

    # Whether it wants to know something of the whole photograph.
    measures_whole: ClassVar[bool] = False

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw for the canvas that the pixels lie on."""
        height, width = params["shape"][:2]
        canvas = data.get("canvas") or Canvas((width, height), IDENTITY)
        whole = data["images"][0] if "images" in data else data["image"]
        return {"canvas": canvas} | self.draw(canvas, whole)

    def draw(self, canvas: Canvas, whole: Pixels) -> dict[str, Any]:
        """Draw the parameters, in image pixels.

        Args:
            canvas: where the pixels lie.
            whole: [h, w, 3] the whole photograph or a small copy of it, after the transforms before this one.
        """
        return {}

    def apply_to_images(self, images: Pixels, *args: Any, canvas: Canvas, **params: Any) -> Pixels:
        """Paint on the small copy [1, h, w, 3] of the whole photograph."""
        width, height = canvas.image_size
        small = np.diag([images.shape[2] / width, images.shape[1] / height, 1.0])[:2]
        return self.apply(images[0], canvas=Canvas(canvas.image_size, small), **params)[None]

    def new_generator(self) -> np.random.Generator:
        """Draw a generator for fields of noise, which have the size of whatever they are painted on."""
        return np.random.default_rng(int(self.random_generator.integers(2**63)))
