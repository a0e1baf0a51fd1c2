"""A radius around each keypoint that holds its true place with a given probability (split conformal prediction).

Vovk et al. 2005, "Algorithmic Learning in a Random World"; scaled by the expected error as Lei et al. 2018
(arXiv 1604.04173, section 5.2). It holds for animals like those of the validation set, drawn as they were. Needs no
torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lynx_pose.arrays import Floats, Mask
from lynx_pose.errors import InputError
from lynx_pose.evaluation.calibration import FEWEST, Calibration, part_numbers

# Crop pixels: smaller expectations count as this, so that a factor cannot explode.
SMALLEST = 0.5
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Guarantee:
    """Radii in crop pixels.

    Args:
        level: share of keypoints that lie within theirs, such as 0.9.
        expected: error by confidence, fitted on one half of the animals.
        factors: [K] of the expected error, from the other half.
        animals: in both halves.
    """

    level: float
    expected: Calibration
    factors: Floats
    animals: int

    @classmethod
    def fit(
        cls,
        confidences: Floats,
        errors: Floats,
        visible: Mask,
        level: float,
        clusters: Sequence[str] | None = None,
        seed: int = 0,
    ) -> Self:
        """Fit on animals that the network was not trained on.

        Args:
            confidences: [N, K].
            errors: [N, K] distances in crop pixels.
            visible: [N, K], false where there is no true place to compare with.
            level: between 0 and 1.
            clusters: [N] what belongs together, such as bursts, and so to one half; None keeps animals apart.
            seed: of the halves.

        Raises:
            InputError: the level is none, or there are too few animals for it.
        """
        if not 0 < level < 1:
            raise InputError(f"guarantee={level}: must lie between 0 and 1")
        first = part_numbers(len(confidences), 2, clusters, seed) == 0
        if not (visible[first].any() and visible[~first].any()):
            raise InputError(f"guarantee={level}: {len(confidences)} animals are too few to fit and to check on others")
        expected = Calibration.fit(confidences[first], errors[first], visible[first])
        scaled = errors[~first] / np.maximum(expected(confidences[~first]), SMALLEST)
        seen = visible[~first]
        pooled = upper_quantile(scaled[seen], level)
        factors = [
            upper_quantile(scaled[seen[:, number], number], level) if seen[:, number].sum() >= FEWEST else pooled
            for number in range(seen.shape[1])
        ]
        if not np.isfinite(factors).all():
            raise InputError(f"guarantee={level}: {len(confidences)} animals are too few; a lower level needs fewer")
        return cls(level, expected, np.array(factors), len(confidences))

    def __call__(self, confidences: Floats) -> Floats:
        """Return the radii in crop pixels at confidences [..., K]."""
        return self.factors * np.maximum(self.expected(confidences), SMALLEST)

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values, by keypoint."""
        factors = dict(zip(names, self.factors.tolist(), strict=True))
        return {
            "level": self.level,
            "animals": self.animals,
            "factors": factors,
            "expected": self.expected.to_dict(names),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        factors = np.array(list(content["factors"].values()))
        return cls(content["level"], Calibration.from_dict(content["expected"]), factors, content["animals"])


def upper_quantile(values: Floats, level: float) -> float:
    """Return the value [n] below which the next one lies with probability `level`; infinite where n is too small."""
    rank = math.ceil((len(values) + 1) * level)
    return float(np.sort(values)[rank - 1]) if rank <= len(values) else math.inf


def held_out_coverage(
    confidences: Floats, errors: Floats, visible: Mask, level: float, clusters: Sequence[str] | None = None
) -> float:
    """Return the share of keypoints within their radius, each animal's fitted on the others; arguments as for `fit`."""
    fold = part_numbers(len(errors), FOLDS, clusters, seed=1)
    inside = np.zeros_like(visible)
    for number in range(FOLDS):
        others, mine = fold != number, fold == number
        own = None if clusters is None else [name for name, kept in zip(clusters, others, strict=True) if kept]
        fitted = Guarantee.fit(confidences[others], errors[others], visible[others], level, own)
        inside[mine] = errors[mine] <= fitted(confidences[mine])
    return float(inside[visible].mean())
