"""A radius around each keypoint that holds its true place with a given probability (split conformal prediction).

Vovk et al. 2005, "Algorithmic Learning in a Random World"; scaled by the expected error as Lei et al. 2018
(arXiv 1604.04173, section 5.2). It holds for animals like those of the validation set, drawn as they were; within a
group, such as infrared images, where the group has factors of its own (Vovk 2013, arXiv 1209.2673). Needs no torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        by: what groups animals, such as `light`; None where nothing does.
        group_factors: [K] of each group that has enough animals; others take `factors`.
    """

    level: float
    expected: Calibration
    factors: Floats
    animals: int
    by: str | None = None
    group_factors: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        confidences: Floats,
        errors: Floats,
        visible: Mask,
        level: float,
        clusters: Sequence[str] | None = None,
        by: str | None = None,
        groups: Sequence[str | None] | None = None,
        seed: int = 0,
    ) -> Self:
        """Fit on animals that the network was not trained on.

        Args:
            confidences: [N, K].
            errors: [N, K] distances in crop pixels.
            visible: [N, K], false where there is no true place to compare with.
            level: between 0 and 1.
            clusters: [N] what belongs together, such as bursts, and so to one half; None keeps animals apart.
            by: name of what groups animals.
            groups: [N] of the animals; None where unknown. A group of fewer than 30 in one half has no factors.
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
        factors = _factors(scaled, seen, level)
        if not np.isfinite(factors).all():
            raise InputError(f"guarantee={level}: {len(confidences)} animals are too few; a lower level needs fewer")
        group = np.array([name or "" for name in groups or [""] * len(first)])[~first]
        parts = {str(name): group == name for name in np.unique(group) if name}
        own = {name: _factors(scaled[part], seen[part], level) for name, part in parts.items() if part.sum() >= FEWEST}
        own = {name: each for name, each in own.items() if np.isfinite(each).all()}
        return cls(level, expected, factors, len(confidences), by, own)

    def __call__(self, confidences: Floats, group: str | None = None) -> Floats:
        """Return the radii in crop pixels at confidences [..., K] of animals of a group; None where it is unknown."""
        factors = self.group_factors.get(group or "", self.factors)
        return factors * np.maximum(self.expected(confidences), SMALLEST)

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values, by keypoint."""
        return {
            "level": self.level,
            "animals": self.animals,
            "by": self.by,
            "factors": dict(zip(names, self.factors.tolist(), strict=True)),
            "group_factors": {
                name: dict(zip(names, factors.tolist(), strict=True)) for name, factors in self.group_factors.items()
            },
            "expected": self.expected.to_dict(names),
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        factors = np.array(list(content["factors"].values()))
        own = {name: np.array(list(each.values())) for name, each in content["group_factors"].items()}
        expected = Calibration.from_dict(content["expected"])
        return cls(content["level"], expected, factors, content["animals"], content["by"], own)


def _factors(scaled: Floats, seen: Mask, level: float) -> Floats:
    """Return [K] what errors [N, K] in parts of the expected stay below; keypoints that few show share one."""
    pooled = upper_quantile(scaled[seen], level)
    return np.array(
        [
            upper_quantile(scaled[seen[:, number], number], level) if seen[:, number].sum() >= FEWEST else pooled
            for number in range(seen.shape[1])
        ]
    )


def upper_quantile(values: Floats, level: float) -> float:
    """Return the value [n] below which the next one lies with probability `level`; infinite where n is too small."""
    rank = math.ceil((len(values) + 1) * level)
    return float(np.sort(values)[rank - 1]) if rank <= len(values) else math.inf


def held_out_coverage(
    confidences: Floats,
    errors: Floats,
    visible: Mask,
    level: float,
    clusters: Sequence[str] | None = None,
    by: str | None = None,
    groups: Sequence[str | None] | None = None,
) -> dict[str, float]:
    """Return the share of keypoints within their radius, each animal's fitted on the others; arguments as for `fit`.

    Returns:
        The share of all, as `all`, and of each group.
    """
    fold = part_numbers(len(errors), FOLDS, clusters, seed=1)
    group: Sequence[str | None] = groups or [None] * len(errors)
    inside = np.zeros_like(visible)
    for number in range(FOLDS):
        others, mine = np.flatnonzero(fold != number).tolist(), np.flatnonzero(fold == number).tolist()
        own = clusters and [clusters[index] for index in others]
        known = [group[index] for index in others]
        fitted = Guarantee.fit(confidences[others], errors[others], visible[others], level, own, by, known)
        for index in mine:
            inside[index] = errors[index] <= fitted(confidences[index], group[index])
    parts = {name: [one == name for one in group] for name in sorted({name for name in group if name})}
    shares = {name: inside[part][visible[part]] for name, part in parts.items()}
    return {"all": float(inside[visible].mean())} | {
        name: float(share.mean()) for name, share in shares.items() if share.size
    }
