"""Geometric augmentation: each transform draws and returns a changed `View`; no pixel is touched.

Two readings of the thesis stand side by side where its text and its tool (MMPose 0.29) differ; the configuration holds
one or the other (`aug/geometry=mmpose` or `thesis`). Half-body augmentation is in `half_body.py`.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from typing_extensions import override

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.crop import CropBox
from lynx_pose.data.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class View:
    """An animal in its image, or in the image's mirror image, and the crop around it.

    Args:
        crop: box in pixels of the (mirrored) image.
        box_size: [2] width and height of the annotated box.
        keypoints: [K, 2] in pixels of the (mirrored) image.
        visible: [K] bool.
        occluded: [K] bool, of the visible those that something hides, as far as the dataset says.
        depth: [K] image pixels behind the root; NaN where unknown.
        image_width: pixels.
        mirrored: whether left and right are swapped.
    """

    crop: CropBox
    box_size: Floats
    keypoints: Floats
    visible: Mask
    occluded: Mask
    depth: Floats
    image_width: int
    mirrored: bool = False

    def with_crop(self, **changes: Any) -> Self:
        """Return the view with changes to its crop: `center`, `size`, `rotation`."""
        return replace(self, crop=replace(self.crop, **changes))


class GeometricTransform(Protocol):
    """A transform of the view; what it draws comes from the generator alone."""

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Return the changed view."""
        ...


@dataclass(frozen=True)
class Flip(GeometricTransform):
    """Mirror the image with probability `p`; left and right swap; nothing is done where nobody knows which."""

    p: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        if rng.random() >= self.p or not skeleton.mirrorable:
            return view
        order = skeleton.flip_indices
        last = view.image_width - 1

        def mirror(points: Floats) -> Floats:
            return points * (-1.0, 1.0) + (last, 0.0)

        return replace(
            view.with_crop(center=mirror(view.crop.center)),
            keypoints=mirror(view.keypoints[order]),
            visible=view.visible[order],
            occluded=view.occluded[order],
            depth=view.depth[order],
            mirrored=not view.mirrored,
        )


@dataclass(frozen=True)
class ShiftCrop(GeometricTransform):
    """Move the centre by up to `factor` of the padded box with the crop's aspect ratio (as MMPose)."""

    factor: float
    p: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        return _shift(view, view.crop.size, self.factor, self.p, rng)


@dataclass(frozen=True)
class ShiftBox(GeometricTransform):
    """Move the centre by up to `factor` of the annotated box's width and height (Equation 19, as the thesis says)."""

    factor: float
    p: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        return _shift(view, view.box_size, self.factor, self.p, rng)


def _shift(view: View, size: Floats, factor: float, p: float, rng: np.random.Generator) -> View:
    if rng.random() >= p:
        return view
    shift = rng.uniform(-factor, factor, 2) * size
    return view.with_crop(center=view.crop.center + shift)


@dataclass(frozen=True)
class NormalScale(GeometricTransform):
    """Scale the crop by 1 + sigma × N, clipped to the interval (as MMPose; 16 % sit at each end)."""

    sigma: float
    low: float
    high: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        factor = np.clip(1 + self.sigma * rng.standard_normal(), self.low, self.high)
        return view.with_crop(size=view.crop.size * factor)


@dataclass(frozen=True)
class UniformScale(GeometricTransform):
    """Scale the image by a factor s drawn uniformly (section 6.1 and Appendix A, as the thesis says).

    So the crop is 1 / s as large; MMPose's factor is the crop's.
    """

    low: float
    high: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        return view.with_crop(size=view.crop.size / rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class NormalRotation(GeometricTransform):
    """Turn the crop by sigma × N degrees, clipped to ±limit, with probability `p` (as MMPose)."""

    sigma: float
    limit: float
    p: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        angle = float(np.clip(self.sigma * rng.standard_normal(), -self.limit, self.limit))
        return view.with_crop(rotation=view.crop.rotation + (angle if rng.random() < self.p else 0.0))


@dataclass(frozen=True)
class UniformRotation(GeometricTransform):
    """Turn the crop by an angle drawn uniformly in ±limit degrees (Appendix A, as the thesis says)."""

    limit: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        return view.with_crop(rotation=view.crop.rotation + rng.uniform(-self.limit, self.limit))
