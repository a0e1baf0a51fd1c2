"""Geometric augmentation: each transform draws and returns a changed `View`; no pixel is touched.

Two readings of the thesis stand side by side where its text and its tool (MMPose 0.29) differ; the
configuration holds one or the other (`aug/geometry=tool` or `text`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.crop import CropBox, fit_aspect_ratio
from lynx_pose.data.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class View:
    """An animal in its photograph, or in the photograph's mirror image, and the crop around it.

    Args:
        crop: box in pixels of the (mirrored) photograph.
        box_size: [2] width and height of the annotated box.
        keypoints: [K, 2] in pixels of the (mirrored) photograph.
        visible: [K] bool.
        image_width: pixels.
        mirrored: whether left and right are swapped.
    """

    crop: CropBox
    box_size: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    visible: NDArray[np.bool_]
    image_width: int
    mirrored: bool = False


class GeometricTransform(Protocol):
    """A transform of the view; what it draws comes from the generator alone."""

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Return the changed view."""
        ...


@dataclass(frozen=True)
class Flip:
    """Mirror the photograph with probability `p`; left and right keypoints swap."""

    p: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        if rng.random() >= self.p:
            return view
        order = skeleton.flip_indices
        last = view.image_width - 1
        return replace(
            view,
            crop=replace(view.crop, center=_mirrored(view.crop.center, last)),
            keypoints=_mirrored(view.keypoints[order], last),
            visible=view.visible[order],
            mirrored=not view.mirrored,
        )


def _mirrored(points: NDArray[np.float64], last: int) -> NDArray[np.float64]:
    return points * (-1.0, 1.0) + (last, 0.0)


@dataclass(frozen=True)
class ShiftCrop:
    """Move the centre by up to `factor` of the padded box with the crop's aspect ratio (the tool)."""

    factor: float
    p: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        return _shifted(view, view.crop.size, self.factor, self.p, rng)


@dataclass(frozen=True)
class ShiftBox:
    """Move the centre by up to `factor` of the annotated box's width and height (Equation 19, the text)."""

    factor: float
    p: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        return _shifted(view, view.box_size, self.factor, self.p, rng)


def _shifted(view: View, size: NDArray[np.float64], factor: float, p: float, rng: np.random.Generator) -> View:
    if rng.random() >= p:
        return view
    shift = rng.uniform(-factor, factor, 2) * size
    return replace(view, crop=replace(view.crop, center=view.crop.center + shift))


@dataclass(frozen=True)
class HalfBodyCrop:
    """Crop the front or the rear half of the body; all keypoints stay (the tool).

    Args:
        p: probability, given more than `min_keypoints` visible keypoints.
        min_keypoints: threshold t of the thesis's Appendix A.
        upper_p: probability of the upper half where both have enough points.
        padding: side of the new crop relative to the extent of the half's keypoints.
    """

    p: float
    min_keypoints: int
    upper_p: float
    padding: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        half = _draw_half(view, skeleton, self.p, self.min_keypoints, self.upper_p, rng)
        if half is None:
            return view
        points = view.keypoints[half]
        extent = np.ptp(points, axis=0)
        if not extent.any():
            return view
        aspect_ratio = float(view.crop.size[0] / view.crop.size[1])
        size = fit_aspect_ratio(extent, aspect_ratio) * self.padding
        return replace(view, crop=CropBox(points.mean(axis=0), size, view.crop.rotation))


@dataclass(frozen=True)
class HalfBodyHide:
    """Keep one half's keypoints and hide the others; the crop stays (section 6.1, the text)."""

    p: float
    min_keypoints: int
    upper_p: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        half = _draw_half(view, skeleton, self.p, self.min_keypoints, self.upper_p, rng)
        if half is None:
            return view
        kept = np.zeros_like(view.visible)
        kept[half] = True
        return replace(view, visible=view.visible & kept)


def _draw_half(
    view: View, skeleton: Skeleton, p: float, min_keypoints: int, upper_p: float, rng: np.random.Generator
) -> list[int] | None:
    """Return the visible keypoints of one half; the drawn half needs three points, any half two."""
    if rng.random() >= p or view.visible.sum() <= min_keypoints:
        return None
    upper = [index for index in skeleton.upper if view.visible[index]]
    lower = [index for index in skeleton.lower if view.visible[index]]
    half = upper if (rng.random() < upper_p and len(upper) > 2) or len(lower) <= 2 else lower
    return half if len(half) >= 2 else None


@dataclass(frozen=True)
class NormalScale:
    """Scale the crop by 1 + sigma × N, clipped to the interval (the tool; 16 % sit at each end)."""

    sigma: float
    low: float
    high: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        return _scaled(view, np.clip(1 + self.sigma * rng.standard_normal(), self.low, self.high))


@dataclass(frozen=True)
class UniformScale:
    """Scale the crop by a factor drawn uniformly (Appendix A, the text)."""

    low: float
    high: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        return _scaled(view, rng.uniform(self.low, self.high))


def _scaled(view: View, factor: float) -> View:
    return replace(view, crop=replace(view.crop, size=view.crop.size * factor))


@dataclass(frozen=True)
class NormalRotation:
    """Turn the crop by sigma × N degrees, clipped to ±limit, with probability `p` (the tool)."""

    sigma: float
    limit: float
    p: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        angle = float(np.clip(self.sigma * rng.standard_normal(), -self.limit, self.limit))
        return _rotated(view, angle if rng.random() < self.p else 0.0)


@dataclass(frozen=True)
class UniformRotation:
    """Turn the crop by an angle drawn uniformly in ±limit degrees (Appendix A, the text)."""

    limit: float

    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        """Draw and apply."""
        return _rotated(view, rng.uniform(-self.limit, self.limit))


def _rotated(view: View, degrees: float) -> View:
    return replace(view, crop=replace(view.crop, rotation=view.crop.rotation + degrees))
