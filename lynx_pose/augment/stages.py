"""Where photometric transforms act: on the whole image, as in the thesis, or on the crop, which costs far less.

A sample's crop is 256 pixels wide where its image has 2,000, so changing the crop is 24 to 71 times as fast as MMPose's
way of changing the image. It must come to the same, though: a blur of 33 image pixels is a blur of 8 crop pixels, rain
falls where it would fall on the image. Most transforms can do that on the crop's own grid of pixels, because they know
how many image pixels one of its pixels covers (`PixelGrid`). Some cannot: a median over 1.5 crop pixels has no meaning,
and sharpening acts on image pixels or not at all.

Such a transform says so when it draws its parameters, by raising `NeedsFinerGrid` with the largest grid pixels on
which it can work. `crop_then_augment` catches that and begins anew on a grid of whole fractions of crop pixels, of
which every n-th is kept; where image pixels themselves are asked for, or are no finer than the crop's, the part of the
image around the crop is changed and then sampled. Beginning anew is safe because all randomness is drawn from the
sample's key: the second attempt draws what the first one drew. It is cheap because a transform draws before it paints.
Which transform it will be is drawn inside albumentations' `OneOf`, so nobody knows the grid beforehand; hence an
exception.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

from lynx_pose.arrays import Matrix, Pixels
from lynx_pose.augment.pixel_grid import IMAGE_PIXEL, NeedsFinerGrid, PixelGrid
from lynx_pose.data.crop import compose, inside_mask, invert, warp
from lynx_pose.data.image_source import Bounds, SourceImage

# From pixels, their grid and a thumbnail of the whole image to changed pixels.
Change = Callable[..., Pixels]
# Image pixels around a crop that the widest filter reaches, and the widest square of a coarsened image.
MARGIN = 40


def plain_crop(image: SourceImage, matrix: Matrix, output_size: tuple[int, int]) -> Pixels:
    """Sample a crop [H, W, 3] of unchanged pixels."""
    region = image.around(Bounds.of_crop(matrix, output_size))
    return warp(region.pixels, compose(matrix, region.to_image), output_size)


def augment_image_then_crop(change: Change, image: SourceImage, matrix: Matrix, output_size: tuple[int, int]) -> Pixels:
    """Change the whole image, then sample the crop [H, W, 3]."""
    return warp(change(image.whole), matrix, output_size)


def crop_then_augment(change: Change, image: SourceImage, matrix: Matrix, output_size: tuple[int, int]) -> Pixels:
    """Sample the crop [H, W, 3], on a finer grid where a transform asks for one, then change it."""
    pixel_size = PixelGrid(image.size, matrix).pixel_size
    finer = 1
    while pixel_size > finer:
        try:
            return _on_grid(change, image, matrix, output_size, finer)
        except NeedsFinerGrid as need:
            if need.pixel_size <= IMAGE_PIXEL:
                break
            finer = math.ceil(pixel_size / need.pixel_size)
    region = image.native(Bounds.of_crop(matrix, output_size, MARGIN))
    changed = change(region.pixels, PixelGrid(image.size, invert(region.to_image)), image.thumbnail)
    return warp(changed, compose(matrix, region.to_image), output_size)


def _on_grid(change: Change, image: SourceImage, matrix: Matrix, output_size: tuple[int, int], finer: int) -> Pixels:
    """Change a grid of `finer` pixels along the side of each of the crop's."""
    width, height = output_size
    grid = PixelGrid(image.size, compose(np.diag([finer, finer, 1.0])[:2], matrix))
    size = ((width - 1) * finer + 1, (height - 1) * finer + 1)
    region = image.around(Bounds.of_crop(grid.matrix, size))
    # What asks for a finer grid averages over it, so its pixels need no interpolation of their own.
    interpolation = cv2.INTER_LINEAR if finer == 1 else cv2.INTER_NEAREST
    # Beyond the image's border its filters see more of the same, and so must the grid's.
    to_grid = compose(grid.matrix, region.to_image)
    sampled = warp(region.pixels, to_grid, size, cv2.BORDER_REPLICATE, interpolation)
    changed = change(sampled, grid, image.thumbnail)[::finer, ::finer]
    return cv2.copyTo(changed, inside_mask(matrix, image.size, output_size))
