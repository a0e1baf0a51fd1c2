"""A radius around each keypoint that holds its true place with a given probability (split conformal prediction).

Vovk et al. 2005, "Algorithmic Learning in a Random World"; scaled by the expected error as Lei et al. 2018
(arXiv 1604.04173, section 5.2). It holds for animals like those of the validation set, drawn as they were; within a
group, such as infrared images, where the group has factors of its own (Vovk 2013, arXiv 1209.2673). Needs no torch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Self

import numpy as np

from lynx_pose.arrays import Floats, Mask
from lynx_pose.errors import InputError
from lynx_pose.evaluation.calibration import FEWEST, Calibration, part_numbers

# Crop pixels: smaller expectations count as this, so that a factor cannot explode.
SMALLEST = 0.5
FOLDS = 5


@dataclass(frozen=True, eq=False)
class KeypointErrors:
    """How sure a network was of N animals that it was not trained on, and how far off.

    Args:
        confidences: [N, K].
        errors: [N, K] distances in crop pixels.
        visible: [N, K], false where there is no true place to compare with.
        clusters: [N] what belongs together, such as bursts, and so to one part; None keeps animals apart.
        groups: [N] in each of which a guarantee shall hold by itself, such as the light; None where unknown.
    """

    confidences: Floats
    errors: Floats
    visible: Mask
    clusters: Sequence[str] | None = None
    groups: Sequence[str | None] | None = None

    def subset(self, chosen: Mask) -> Self:
        """The animals where `chosen` [N] is true."""
        clusters = None if self.clusters is None else list(compress(self.clusters, chosen))
        groups = None if self.groups is None else list(compress(self.groups, chosen))
        return type(self)(self.confidences[chosen], self.errors[chosen], self.visible[chosen], clusters, groups)


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
    def fit(cls, found: KeypointErrors, level: float, by: str | None = None, seed: int = 0) -> Self:
        """Fit on animals that the network was not trained on.

        Args:
            found: of N animals; a group of fewer than 30 in one half has no factors.
            level: between 0 and 1.
            by: name of what groups animals.
            seed: of the halves.

        Raises:
            InputError: the level is none, or there are too few animals for it.
        """
        if not 0 < level < 1:
            raise InputError(f"guarantee={level}: must lie between 0 and 1")
        animals = len(found.errors)
        first = part_numbers(animals, 2, found.clusters, seed) == 0
        fitted, checked = found.subset(first), found.subset(~first)
        if not (fitted.visible.any() and checked.visible.any()):
            raise InputError(f"guarantee={level}: {animals} animals are too few to fit and to check on others")
        expected = Calibration.fit(fitted.confidences, fitted.errors, fitted.visible)
        scaled = checked.errors / np.maximum(expected(checked.confidences), SMALLEST)
        factors = _factors(scaled, checked.visible, level)
        if not np.isfinite(factors).all():
            raise InputError(f"guarantee={level}: {animals} animals are too few; a lower level needs fewer")
        own = {}
        for name, part in _parts(checked.groups).items():
            if part.sum() >= FEWEST and np.isfinite(each := _factors(scaled[part], checked.visible[part], level)).all():
                own[name] = each
        return cls(level, expected, factors, animals, by, own)

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


def held_out_radii(found: KeypointErrors, level: float) -> Floats:
    """Return the radius [N, K] of each animal's keypoints in crop pixels, fitted on the other animals.

    Raises:
        InputError: as of `Guarantee.fit`.
    """
    fold = part_numbers(len(found.errors), FOLDS, found.clusters, seed=1)
    groups = found.groups or [None] * len(found.errors)
    radii = np.zeros_like(found.errors)
    for number in range(FOLDS):
        fitted = Guarantee.fit(found.subset(fold != number), level)
        for index in np.flatnonzero(fold == number).tolist():
            radii[index] = fitted(found.confidences[index], groups[index])
    return radii


def held_out_coverage(found: KeypointErrors, level: float) -> dict[str, float]:
    """Return the share of keypoints within their radius, each fitted on the other animals, of `all` and each group."""
    inside = found.errors <= held_out_radii(found, level)
    shares = {name: inside[part][found.visible[part]] for name, part in _parts(found.groups).items()}
    return {"all": float(inside[found.visible].mean())} | {
        name: float(share.mean()) for name, share in shares.items() if share.size
    }


def _parts(groups: Sequence[str | None] | None) -> dict[str, Mask]:
    """Return by name of a group which of the animals [N] are in it."""
    known = groups or []
    return {name: np.array([one == name for one in known]) for name in sorted({one for one in known if one})}
