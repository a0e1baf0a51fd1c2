"""One sample's augmentation: which geometry, which photometric groups, and where their randomness comes from."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import albumentations
import cv2
import numpy as np

from lynx_pose.data.augment.canvas import Canvas, CanvasTransform, NeedsFinerCanvas, Pixels
from lynx_pose.data.augment.color import ColorJitter, HueSaturationValue
from lynx_pose.data.augment.geometry import GeometricTransform, View
from lynx_pose.data.augment.noise import Sharpen
from lynx_pose.data.crop import Matrix, compose, inside_mask, invert, warp
from lynx_pose.data.photograph import Bounds, Photograph
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError

SampleKey = tuple[int, int, int]
Paint = Callable[..., Pixels]
# Image pixels around a crop that the widest filter reaches, and the widest square of a coarsened photograph.
MARGIN = 40
# What these do to a pixel depends on it alone, or they see to it themselves.
PIXELWISE = (
    albumentations.ChannelDropout
    | albumentations.ChannelShuffle
    | albumentations.InvertImg
    | albumentations.Posterize
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

    What is drawn for a sample depends on its key (seed, epoch, instance) alone: not on the worker, the
    process or how many there are. Geometry and pixels draw from separate streams, so that two runs which
    differ in their photometric group see the same crops.

    Args:
        name: what reports call it.
        geometry: transforms of the view, applied in this order.
        photometric: albumentations transforms of the image, applied in this order.
        stage: where the photometric groups act: `image` is the whole photograph, as in the thesis; `crop` is
            the crop, where the same costs less. Their parameters are in image pixels either way.
    """

    def __init__(
        self,
        name: str,
        geometry: Mapping[str, GeometricTransform] | None = None,
        photometric: Mapping[str, Any] | None = None,
        stage: str = "image",
    ):
        if stage not in STAGES:
            raise InputError(f"aug.stage={stage}: must be one of {', '.join(STAGES)}")
        leaves = list(_leaves(list((photometric or {}).values())))
        if STAGES[stage] is painted_crop:
            _require_known(leaves, name)
        self.name = name
        self.geometry = list((geometry or {}).values())
        # Lists of images are checked against the image's shape, which the small copy does not have.
        self.photometric = albumentations.Compose(list((photometric or {}).values()), is_check_shapes=False)
        self.measures_whole = any(getattr(leaf, "measures_whole", False) for leaf in leaves)
        self.stage = STAGES[stage]

    def view(self, view: View, skeleton: Skeleton, key: SampleKey) -> View:
        """Draw the sample's geometry."""
        rng = np.random.default_rng([0, *key])
        for transform in self.geometry:
            view = transform(view, skeleton, rng)
        return view

    def crop(self, photograph: Photograph, matrix: Matrix, output_size: tuple[int, int], key: SampleKey) -> Pixels:
        """Draw the sample's photometric changes and return its crop [H, W, 3] RGB.

        Args:
            photograph: to sample from.
            matrix: [2, 3] map from image to crop pixels.
            output_size: (width, height) of the crop.
            key: (seed, epoch, instance).
        """
        if not self.photometric.transforms:
            return plain_crop(photograph, matrix, output_size)
        return self.stage(partial(self.pixels, key=key), photograph, matrix, output_size)

    def pixels(
        self, image: Pixels, canvas: Canvas | None = None, thumbnail: Pixels | None = None, *, key: SampleKey
    ) -> Pixels:
        """Draw the sample's photometric changes and apply them.

        Args:
            image: [H, W, 3] RGB.
            canvas: where it lies in the photograph; None where it is the whole of it.
            thumbnail: [h, w, 3] a small copy of the photograph, where the image is not the whole of it.
            key: (seed, epoch, instance).

        Raises:
            NeedsFinerCanvas: a transform cannot do on this canvas what it does to the photograph.
        """
        # Nodes share the one stream; albumentations' own seeding gives each node a copy of it, and then
        # two groups fire together in 81 % of the samples instead of 64 %.
        rng = np.random.default_rng([1, *key])
        self.photometric.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        more: dict[str, Any] = {}
        if thumbnail is not None and self.measures_whole:
            more["images"] = thumbnail[None]
        changed: Pixels = self.photometric(image=image, canvas=canvas, **more)["image"]
        return changed


def _leaves(transforms: Sequence[Any]) -> Iterator[Any]:
    """Yield single transforms out of those that choose among others."""
    for transform in transforms:
        yield from _leaves(transform.transforms) if isinstance(transform, albumentations.BaseCompose) else (transform,)


def _require_known(transforms: Sequence[Any], name: str) -> None:
    """Refuse transforms of which nobody has said what they must do on a crop to do the same."""
    for transform in transforms:
        if not isinstance(transform, CanvasTransform | PIXELWISE):
            raise InputError(
                f"aug={name}: {type(transform).__name__} may do something else on the crop than on the photograph. "
                "Choose aug.stage=image, or derive it from lynx_pose.data.augment.canvas.CanvasTransform"
            )


def plain_crop(photograph: Photograph, matrix: Matrix, output_size: tuple[int, int]) -> Pixels:
    """Sample a crop of unchanged pixels."""
    cut = photograph.around(Bounds.of_crop(matrix, output_size))
    return warp(cut.pixels, compose(matrix, cut.to_image), output_size)


def crop_of_painted(paint: Paint, photograph: Photograph, matrix: Matrix, output_size: tuple[int, int]) -> Pixels:
    """Change the whole photograph, then sample the crop."""
    return warp(paint(photograph.whole), matrix, output_size)


def painted_crop(paint: Paint, photograph: Photograph, matrix: Matrix, output_size: tuple[int, int]) -> Pixels:
    """Sample the crop, on a finer canvas where a transform asks for one, then change it.

    Where image pixels are asked for, or are no finer than the crop's, the part of the photograph around the
    crop is changed instead.
    """
    pixel = Canvas(photograph.size, matrix).pixel
    finer = 1
    while pixel > finer:
        try:
            return _painted_on_canvas(paint, photograph, matrix, output_size, finer)
        except NeedsFinerCanvas as need:
            if need.pixel <= 1:
                break
            finer = math.ceil(pixel / need.pixel)
    cut = photograph.native(Bounds.of_crop(matrix, output_size, MARGIN))
    painted = paint(cut.pixels, Canvas(photograph.size, invert(cut.to_image)), photograph.thumbnail)
    return warp(painted, compose(matrix, cut.to_image), output_size)


def _painted_on_canvas(
    paint: Paint, photograph: Photograph, matrix: Matrix, output_size: tuple[int, int], finer: int
) -> Pixels:
    """Change a canvas of `finer` pixels along the side of each of the crop's."""
    width, height = output_size
    canvas = Canvas(photograph.size, compose(np.diag([finer, finer, 1.0])[:2], matrix))
    size = ((width - 1) * finer + 1, (height - 1) * finer + 1)
    cut = photograph.around(Bounds.of_crop(canvas.matrix, size))
    # What asks for a finer canvas averages over it, so its pixels need no interpolation of their own.
    interpolation = cv2.INTER_LINEAR if finer == 1 else cv2.INTER_NEAREST
    # Beyond the photograph's border its filters see more of the same, and so must the canvas's.
    to_canvas = compose(canvas.matrix, cut.to_image)
    sampled = warp(cut.pixels, to_canvas, size, cv2.BORDER_REPLICATE, interpolation)
    painted = paint(sampled, canvas, photograph.thumbnail)[::finer, ::finer]
    return cv2.copyTo(painted, inside_mask(matrix, photograph.size, output_size))  # type: ignore[return-value]  # cv2 states no dtype


STAGES = {"image": crop_of_painted, "crop": painted_crop}
