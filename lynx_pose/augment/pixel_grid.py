"""Where pixels lie in their image, so that a transform can keep its parameters in image pixels.

A transform is given a whole image, a part of one, or a crop that was sampled from one. The grid tells it which: lengths
are divided by `pixel_size`, positions go through `matrix`, and what a transform wants to know of the whole image (its
mean grey, say) it asks of a thumbnail that goes through the same transforms.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from albumentations import ImageOnlyTransform

from lynx_pose.arrays import AnyArray, Floats, Matrix, Pixels
from lynx_pose.data.crop import transform_points

IDENTITY: Matrix = np.eye(2, 3)
IMAGE_PIXEL = 1.0


@dataclass(frozen=True, eq=False)
class PixelGrid:
    """A grid of pixels over an image.

    Args:
        image_size: (width, height) of the image.
        matrix: [2, 3] map from image pixels to the grid's.
    """

    image_size: tuple[int, int]
    matrix: Matrix

    @property
    def pixel_size(self) -> float:
        """Image pixels along the side of a grid pixel."""
        return float(abs(np.linalg.det(self.matrix[:, :2])) ** -0.5)

    @property
    def is_native(self) -> bool:
        """Whether grid pixels are image pixels, all of them or a part."""
        return bool(np.array_equal(self.matrix[:, :2], IDENTITY[:, :2]))

    @property
    def origin(self) -> tuple[int, int]:
        """The image position (x, y) of a native grid's first pixel."""
        return -round(self.matrix[0, 2]), -round(self.matrix[1, 2])

    def points(self, points: AnyArray) -> Floats:
        """Map [..., 2] image positions to the grid."""
        return transform_points(points.astype(np.float64), self.matrix)

    def offsets(self, offsets: AnyArray) -> Floats:
        """Map [..., 2] distances in image pixels to the grid."""
        return offsets.astype(np.float64) @ self.matrix[:, :2].T

    def require_pixel_size(self, largest: float) -> None:
        """Refuse a grid whose pixels are larger.

        Raises:
            NeedsFinerGrid: they are.
        """
        if not self.is_native and self.pixel_size > largest:
            raise NeedsFinerGrid(largest)


class NeedsFinerGrid(Exception):
    """A transform cannot do on this grid what it does to the image.

    Args:
        pixel_size: side in image pixels of the largest grid pixels on which it can; 1 stands for image pixels.
    """

    def __init__(self, pixel_size: float):
        super().__init__(f"grid pixels of at most {pixel_size:g} image pixels are needed")
        self.pixel_size = pixel_size


class GridTransform(ImageOnlyTransform):
    """Base of the transforms that draw their parameters in image pixels.

    A subclass draws in `draw` and paints in `apply`; `grid` is among the parameters of both. Data without a grid are
    whole images.
    """

    # Whether it wants to know something of the whole image.
    measures_whole: ClassVar[bool] = False

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw for the grid that the pixels lie on."""
        height, width = params["shape"][:2]
        grid = data.get("grid") or PixelGrid((width, height), IDENTITY)
        whole = data["images"][0] if "images" in data else data["image"]
        return {"grid": grid} | self.draw(grid, whole)

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw the parameters, in image pixels.

        Args:
            grid: where the pixels lie.
            whole: [h, w, 3] the whole image or a thumbnail of it, after the transforms before this one.
        """
        return {}

    def apply_to_images(self, images: Pixels, *args: Any, grid: PixelGrid, **params: Any) -> Pixels:
        """Paint on the thumbnail [1, h, w, 3] of the whole image."""
        width, height = grid.image_size
        small = np.diag([images.shape[2] / width, images.shape[1] / height, 1.0])[:2]
        return self.apply(images[0], grid=PixelGrid(grid.image_size, small), **params)[None]

    def new_generator(self) -> np.random.Generator:
        """Draw a generator for fields of noise, which have the size of whatever they are painted on."""
        return np.random.default_rng(int(self.random_generator.integers(2**63)))
