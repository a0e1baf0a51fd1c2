"""One sample's augmentation: which geometry, which photometric groups, and where their randomness comes from."""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import albumentations
import numpy as np

from lynx_pose.arrays import Matrix, Pixels
from lynx_pose.augment.geometry import GeometricTransform, View
from lynx_pose.augment.photometric.color import ColorJitter, HueSaturationValue
from lynx_pose.augment.photometric.noise import Sharpen
from lynx_pose.augment.pixel_grid import GridTransform, PixelGrid
from lynx_pose.augment.stages import augment_image_then_crop, crop_then_augment, plain_crop
from lynx_pose.data.image_source import SourceImage
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError

# (seed, epoch, instance).
SampleKey = tuple[int, int, int]
STAGES = {"image": augment_image_then_crop, "crop": crop_then_augment}
# What these do to a pixel depends on it alone, or they see to it themselves.
PIXELWISE = (
    albumentations.ChannelDropout
    | albumentations.ChannelShuffle
    | albumentations.InvertImg
    | albumentations.Posterize
    | albumentations.MultiplicativeNoise
    | albumentations.RandomBrightnessContrast
    | albumentations.RandomSnow
    | albumentations.RGBShift
    | ColorJitter
    | HueSaturationValue
    | Sharpen
)


class OneGroup(albumentations.OneOf):
    """Choose one of several groups with equal probability; the chosen one always applies.

    Args:
        groups: by name.
        p: probability that any applies.
    """

    def __init__(self, groups: Mapping[str, Any], p: float):
        super().__init__(list(groups.values()), p=p)


class Augmentation:
    """Geometric transforms in order, and photometric groups in order.

    What is drawn for a sample depends on its key (seed, epoch, instance) alone: not on the worker, the process or how
    many there are. Geometry and pixels draw from separate streams, so that two runs which differ in their photometric
    group see the same crops.

    Args:
        name: what reports call it.
        geometry: transforms of the view, applied in this order; None among them stands for nothing.
        photometric: albumentations transforms of the image, applied in this order.
        stage: where the photometric groups act: `image` is the whole image, as in the thesis; `crop` is the crop,
            where the same costs less. Their parameters are in image pixels either way.
    """

    def __init__(
        self,
        name: str,
        geometry: Mapping[str, GeometricTransform | None] | None = None,
        photometric: Mapping[str, Any] | None = None,
        stage: str = "image",
    ):
        if stage not in STAGES:
            raise InputError(f"aug.stage={stage}: must be one of {', '.join(STAGES)}")
        leaves = list(_leaves(list((photometric or {}).values())))
        if stage == "crop":
            _require_known(leaves, name)
        self.name = name
        self.geometry = [transform for transform in (geometry or {}).values() if transform is not None]
        # Lists of images are checked against the image's shape, which the thumbnail does not have.
        self.photometric = albumentations.Compose(list((photometric or {}).values()), is_check_shapes=False)
        self.measures_whole = any(getattr(leaf, "measures_whole", False) for leaf in leaves)
        self.stage = STAGES[stage]

    def view(self, view: View, skeleton: Skeleton, key: SampleKey) -> View:
        """Draw the sample's geometry."""
        rng = np.random.default_rng([0, *key])
        for transform in self.geometry:
            view = transform(view, skeleton, rng)
        return view

    def crop(self, image: SourceImage, matrix: Matrix, output_size: tuple[int, int], key: SampleKey) -> Pixels:
        """Draw the sample's photometric changes and return its crop [H, W, 3] RGB.

        Args:
            image: to sample from.
            matrix: [2, 3] map from image to crop pixels.
            output_size: (width, height) of the crop.
            key: (seed, epoch, instance).
        """
        if not self.photometric.transforms:
            return plain_crop(image, matrix, output_size)
        return self.stage(partial(self.pixels, key=key), image, matrix, output_size)

    def pixels(
        self, pixels: Pixels, grid: PixelGrid | None = None, thumbnail: Pixels | None = None, *, key: SampleKey
    ) -> Pixels:
        """Draw the sample's photometric changes and apply them.

        Args:
            pixels: [H, W, 3] RGB.
            grid: where they lie in the image; None where they are the whole of it.
            thumbnail: [h, w, 3] a small copy of the image, where the pixels are not the whole of it.
            key: (seed, epoch, instance).

        Raises:
            NeedsFinerGrid: a transform cannot do on this grid what it does to the image.
        """
        # Nodes share the one stream; albumentations' own seeding gives each node a copy of it, and then
        # two groups fire together in 81 % of the samples instead of 64 %.
        rng = np.random.default_rng([1, *key])
        self.photometric.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        more: dict[str, Any] = {}
        if thumbnail is not None and self.measures_whole:
            more["images"] = thumbnail[None]
        changed: Pixels = self.photometric(image=pixels, grid=grid, **more)["image"]
        return changed


def _leaves(transforms: Sequence[Any]) -> Iterator[Any]:
    """Yield single transforms out of those that choose among others."""
    for transform in transforms:
        yield from _leaves(transform.transforms) if isinstance(transform, albumentations.BaseCompose) else (transform,)


def _require_known(transforms: Sequence[Any], name: str) -> None:
    """Refuse transforms of which nobody has said what they must do on a crop to do the same."""
    for transform in transforms:
        # A factor a pixel is noise, which has a size.
        elementwise = getattr(transform, "elementwise", False)
        if elementwise or not isinstance(transform, GridTransform | PIXELWISE):
            raise InputError(
                f"aug={name}: {type(transform).__name__} may do something else on the crop than on the image. "
                "Choose aug.stage=image, or derive it from lynx_pose.augment.pixel_grid.GridTransform"
            )
