"""What a confidence means in pixels: isotonic regression of errors on a validation set. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import isotonic_regression

from lynx_pose.arrays import AnyArray, Floats, Mask

# Keypoints that were seen less often share one curve.
FEWEST = 30


def part_numbers(count: int, parts: int, clusters: Sequence[str] | None = None, seed: int = 0) -> AnyArray:
    """Divide N animals at random into parts, to fit on some and to judge by others.

    Args:
        count: N.
        parts: how many.
        clusters: [N] what belongs together, such as bursts, and so to one part; None keeps animals apart.
        seed: of the draw.

    Returns:
        [N], the number of each animal's part.
    """
    _, cluster = np.unique(np.arange(count) if clusters is None else np.array(clusters), return_inverse=True)
    return np.asarray(np.random.default_rng(seed).permutation(cluster.max() + 1)[cluster] % parts)


@dataclass(frozen=True, eq=False)
class Curve:
    """An error that falls, or stays, as confidence grows.

    Args:
        confidences: increasing.
        errors: at these.
    """

    confidences: Floats
    errors: Floats

    @classmethod
    def fit(cls, confidences: Floats, errors: Floats) -> Self:
        """Fit the decreasing function of least squares (Barlow et al. 1972), the mean error at a confidence."""
        known, group, counts = np.unique(confidences, return_inverse=True, return_counts=True)
        means = np.bincount(group, errors) / counts
        fitted = isotonic_regression(means, weights=counts, increasing=False).x
        return cls(known, np.asarray(fitted))

    def __call__(self, confidences: Floats) -> Floats:
        """Return the expected error at confidences, straight between those that were seen."""
        return np.asarray(np.interp(confidences, self.confidences, self.errors))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Expected distances of keypoints from their true places, in crop pixels.

    Args:
        curves: one a keypoint.
        animals: how many it was fitted on.
    """

    curves: Sequence[Curve]
    animals: int

    @classmethod
    def fit(cls, confidences: Floats, errors: Floats, visible: Mask) -> Self:
        """Fit a curve a keypoint.

        Args:
            confidences: [N, K].
            errors: [N, K] distances in crop pixels.
            visible: [N, K], false where there is no true place to compare with.
        """
        pooled = Curve.fit(confidences[visible], errors[visible])
        curves = [
            Curve.fit(confidences[seen, number], errors[seen, number]) if seen.sum() >= FEWEST else pooled
            for number, seen in enumerate(visible.T)
        ]
        return cls(curves, len(confidences))

    def __call__(self, confidences: Floats) -> Floats:
        """Return the expected error in crop pixels at confidences [..., K]."""
        return np.stack([curve(confidences[..., number]) for number, curve in enumerate(self.curves)], axis=-1)

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values, by keypoint."""
        curves = {
            name: {"confidence": curve.confidences.tolist(), "error_crop_px": curve.errors.tolist()}
            for name, curve in zip(names, self.curves, strict=True)
        }
        return {"animals": self.animals, "keypoints": curves}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        curves = [
            Curve(np.array(curve["confidence"]), np.array(curve["error_crop_px"]))
            for curve in content["keypoints"].values()
        ]
        return cls(curves, content["animals"])
