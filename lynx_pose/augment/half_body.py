"""Half-body augmentation: the network sees, or learns from, the front or the rear half of the animal alone.

`aug/half_body=mmpose` crops one half, as the thesis's tool did; `aug/half_body=thesis` hides the keypoints of the other
half, as its text says; `aug/half_body=none` does without. The halves are `upper` and `lower` of the skeleton.
"""

from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import override

from lynx_pose.augment.geometry import GeometricTransform, View
from lynx_pose.data.crop import CropBox, fit_aspect_ratio
from lynx_pose.data.skeleton import Skeleton


@dataclass(frozen=True)
class HalfBody(GeometricTransform):
    """Which half of which animals.

    Args:
        p: probability, given more than `min_keypoints` visible keypoints.
        min_keypoints: threshold t of the thesis's Appendix A.
        upper_p: probability of the upper half where both have enough points.
    """

    p: float
    min_keypoints: int
    upper_p: float

    def draw(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> list[int] | None:
        """Return the visible keypoints of one half; the drawn half needs three points, any half two."""
        if rng.random() >= self.p or view.visible.sum() <= self.min_keypoints:
            return None
        upper = [index for index in skeleton.upper if view.visible[index]]
        lower = [index for index in skeleton.lower if view.visible[index]]
        half = upper if (rng.random() < self.upper_p and len(upper) > 2) or len(lower) <= 2 else lower
        return half if len(half) >= 2 else None


@dataclass(frozen=True)
class HalfBodyCrop(HalfBody):
    """Crop the front or the rear half of the body; all keypoints stay (as MMPose).

    Args:
        p: as `HalfBody`.
        min_keypoints: as `HalfBody`.
        upper_p: as `HalfBody`.
        padding: side of the new crop relative to the extent of the half's keypoints.
    """

    padding: float

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        half = self.draw(view, skeleton, rng)
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
class HalfBodyHide(HalfBody):
    """Keep one half's keypoints and hide the others; the crop stays (section 6.1, as the thesis says)."""

    @override
    def __call__(self, view: View, skeleton: Skeleton, rng: np.random.Generator) -> View:
        half = self.draw(view, skeleton, rng)
        if half is None:
            return view
        kept = np.zeros_like(view.visible)
        kept[half] = True
        return replace(view, visible=view.visible & kept)
