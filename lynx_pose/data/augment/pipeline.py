"""One sample's augmentation: which geometry, which photometric groups, and where their randomness comes from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import albumentations
import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.augment.geometry import GeometricTransform, View
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError

SampleKey = tuple[int, int, int]


class OneGroup(albumentations.OneOf):
    """Choose one of several groups with equal probability; the chosen one always applies.

    Args:
        groups: by name.
        p: probability that any applies.
    """

    def __init__(self, groups: Mapping[str, Any], p: float):
        super().__init__(list(groups.values()), p=p)


class Augmentation:
    """Geometric transforms in order, and photometric groups in order on the whole photograph.

    What is drawn for a sample depends on its key (seed, epoch, instance) alone: not on the worker, the
    process or how many there are. Geometry and pixels draw from separate streams, so that two runs which
    differ in their photometric group see the same crops.

    Args:
        name: what reports call it.
        geometry: transforms of the view, applied in this order.
        photometric: albumentations transforms of the image, applied in this order.
        stage: where the photometric groups act; `image` is the whole photograph, as in the thesis.
    """

    def __init__(
        self,
        name: str,
        geometry: Mapping[str, GeometricTransform] | None = None,
        photometric: Mapping[str, Any] | None = None,
        stage: str = "image",
    ):
        if stage != "image":
            raise InputError(f"aug.stage={stage}: only 'image' is known, the group on the whole photograph")
        self.name = name
        self.geometry = list((geometry or {}).values())
        self.photometric = albumentations.Compose(list((photometric or {}).values()), strict=True)

    def view(self, view: View, skeleton: Skeleton, key: SampleKey) -> View:
        """Draw the sample's geometry."""
        rng = np.random.default_rng([0, *key])
        for transform in self.geometry:
            view = transform(view, skeleton, rng)
        return view

    def pixels(self, image: NDArray[np.uint8], key: SampleKey) -> NDArray[np.uint8]:
        """Draw the sample's photometric changes and apply them to [H, W, 3] RGB."""
        if not self.photometric.transforms:
            return image
        # Nodes share the one stream; albumentations' own seeding gives each node a copy of it, and then
        # two groups fire together in 81 % of the samples instead of 64 %.
        rng = np.random.default_rng([1, *key])
        self.photometric.set_random_state(rng, random.Random(int(rng.integers(2**63))))
        return self.photometric(image=image)["image"]
