"""Which records train, which validate, and which are looked at once."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.errors import InputError

log = logging.getLogger(__name__)
Split = tuple[list[PoseRecord], list[PoseRecord]]
# The dataset's own test side.
OWN = "own"


# What a strategy keeps on one side, beside the image: fields of the records. A burst shows one moment many times.
STRATEGIES: dict[str, tuple[str, ...]] = {
    "random": ("sequence",),
    "image": (),
    "sequence": ("sequence",),
    "identity": ("sequence", "identity"),
    "place": ("sequence", "place"),
    "species": ("sequence", "species"),
}
SHARED = "shared"


class SplitSides(NamedTuple):
    """Records to train on, those that choose the epoch and the configuration, and those that are looked at once."""

    train: list[PoseRecord]
    val: list[PoseRecord]
    test: list[PoseRecord]


@dataclass(frozen=True)
class Selection:
    """What of the sides of a split takes part.

    Args:
        train_species: names of the species to train on; None takes all.
        val_species: names of the species to validate and to test on; None takes all.
        test_species: names of the species all of whose animals are the third side, and on no other; None has none.
        train_animals: how many animals to train on; None takes all.
        seed: of their draw; each draw contains the smaller ones of the same seed.
    """

    train_species: Sequence[str] | None = None
    val_species: Sequence[str] | None = None
    train_animals: int | None = None
    seed: int = 0
    test_species: Sequence[str] | None = None

    def __call__(self, sides: SplitSides) -> SplitSides:
        """Return the chosen records of all sides, in their order.

        Raises:
            InputError: a side has no animal of a species, or fewer animals than wanted.
        """
        if self.test_species:
            return self._with_third_side(sides)
        train = _of_species(sides.train, self.train_species, "data.train_species")
        val = _of_species(sides.val, self.val_species, "data.val_species")
        test = _of_species(sides.test, self.val_species, "data.val_species") if sides.test else []
        if self.train_animals is None:
            return SplitSides(train, val, test)
        if not 0 < self.train_animals <= len(train):
            raise InputError(f"data.train_animals={self.train_animals}: there are {len(train)} animals to train on")
        order = np.random.default_rng(self.seed).permutation(len(train))
        return SplitSides([train[index] for index in sorted(order[: self.train_animals])], val, test)

    def _with_third_side(self, sides: SplitSides) -> SplitSides:
        """Take all animals of the third side's species from the others, and choose of those what is wanted."""
        if sides.test:
            raise InputError("data.test_species: goes without data.test, which has a third side already")
        test = _of_species([*sides.train, *sides.val], self.test_species, "data.test_species")
        train, val = ([r for r in side if r.species not in (self.test_species or ())] for side in sides[:2])
        if not train or not val:
            raise InputError(
                f"data.test_species: leaves {len(train)} animals to train on and {len(val)} to validate on"
            )
        return replace(self, test_species=None)(SplitSides(train, val, []))._replace(test=test)


def _of_species(records: Sequence[PoseRecord], species: Sequence[str] | None, option: str) -> list[PoseRecord]:
    known = {record.species for record in records}
    for name in species or ():
        if name not in known:
            names = ", ".join(sorted(name for name in known if name)) or "none: the annotations name no species"
            raise InputError(f"{option}: there is no animal of the species {name!r} on this side; there are {names}")
    return [record for record in records if species is None or record.species in species]


@dataclass(frozen=True)
class SplitOptions:
    """How records are divided.

    Args:
        name: `random`, `image`, `sequence`, `identity`, `place`, `species`, `shared`, or a split that the dataset
            defines. All but `image` and `shared` keep bursts together, where the dataset knows them.
        train_fraction: share of the training side, where the split is drawn.
        seed: of the draw; independent of the run's seed, so that repeated runs share their validation set.
        test: share of a third side, or `own` for the dataset's; None has none, and the dataset's own joins validation.
        fold: which of `folds` parts validates, for cross-validation; None draws one split.
        folds: how many parts there are.
    """

    name: str = "random"
    train_fraction: float = 0.75
    seed: int = 0
    test: float | str | None = None
    fold: int | None = None
    folds: int = 5

    def __call__(self, records: Sequence[PoseRecord]) -> SplitSides:
        """Divide all usable records.

        Raises:
            InputError: there is no such split, or one of the sides stays empty.
        """
        self._check()
        if self.name == SHARED:
            return SplitSides(list(records), list(records), [])
        own = sorted({split for record in records for split in record.subsets})
        if self.name in STRATEGIES:
            sides = self._drawn(records)
        elif self.name in own:
            sides = self._own(records)
        else:
            raise InputError(
                f"data.split={self.name}: this dataset can be split by {', '.join([*STRATEGIES, SHARED, *own])}, "
                "nothing else"
            )
        self._require_filled(sides)
        _require_apart(sides.train, sides.val)
        for side in ("val", "test"):
            warn_of_leaks(sides.train, getattr(sides, side), side)
        return sides

    def _check(self) -> None:
        if isinstance(self.test, str) and self.test != OWN:
            raise InputError(f"data.test={self.test}: must be a share such as 0.15, {OWN}, or null")
        if isinstance(self.test, float | int) and not 0 < self.test < 1:
            raise InputError(f"data.test={self.test}: must lie between 0 and 1")
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise InputError(f"data.fold={self.fold}: must be one of 0 to {self.folds - 1} (data.folds={self.folds})")

    def _drawn(self, records: Sequence[PoseRecord]) -> SplitSides:
        fields = STRATEGIES[self.name]
        wanted = fields[-1] if fields and self.name not in ("random", "image") else None
        if wanted and not any(getattr(record, wanted) for record in records):
            what = "name" if wanted == "identity" else wanted
            raise InputError(
                f"data.split={self.name}: no animal of this dataset has a {what}; data.split=random needs none"
            )
        test: list[PoseRecord] = []
        rest = list(records)
        if self.test == OWN:
            raise InputError(f"data.test={OWN}: data.split={self.name} is drawn; give a share, such as data.test=0.15")
        if self.test:
            # Before all else, so that it stays the same for every fold and share.
            rest, test = by_group(rest, connected_groups(rest, fields), 1 - float(self.test), self.seed)
        groups = connected_groups(rest, fields)
        if self.fold is not None:
            folds = fold_numbers(groups, self.folds, self.seed)
            train, val = _divided(rest, [number != self.fold for number in folds])
        else:
            train, val = by_group(rest, groups, self.train_fraction, self.seed)
        return SplitSides(train, val, test)

    def _own(self, records: Sequence[PoseRecord]) -> SplitSides:
        if self.fold is not None or isinstance(self.test, float):
            raise InputError(
                f"data.split={self.name}: the dataset says who is on which side; data.fold and a share as data.test "
                f"go with {', '.join(STRATEGIES)}"
            )
        of = {side: [r for r in records if r.subsets.get(self.name) == side] for side in ("train", "val", "test")}
        if self.test is None:
            return SplitSides(of["train"], [r for r in records if r.subsets.get(self.name) in ("val", "test")], [])
        if not of["test"]:
            raise InputError(f"data.test={OWN}: data.split={self.name} of this dataset has no test side")
        if not of["val"]:
            groups = connected_groups(of["train"], STRATEGIES["random"])
            of["train"], of["val"] = by_group(of["train"], groups, self.train_fraction, self.seed)
        return SplitSides(of["train"], of["val"], of["test"])

    def _require_filled(self, sides: SplitSides) -> None:
        empty = self.test is not None and not sides.test
        if not sides.train or not sides.val or empty:
            test = f", {len(sides.test)} to test" if self.test is not None else ""
            raise InputError(
                f"data.split={self.name} leaves {len(sides.train)} records for training and {len(sides.val)} for "
                f"validation{test}; each side needs at least one. Choose another split or give data.val for COCO files"
            )


def warn_of_leaks(train: Sequence[PoseRecord], held_out: Sequence[PoseRecord], side: str) -> None:
    """Say which share of a side is of bursts that are trained on: nearly the same picture is no new one."""
    share = leaks(train, held_out)["sequence"]
    if share:
        log.warning(
            "%.0f %% of the animals of the %s side are of bursts that are trained on: their figures are too good. "
            "data.split=random, place or identity keep bursts together",
            100 * share,
            side,
        )


def leaks(train: Sequence[PoseRecord], held_out: Sequence[PoseRecord]) -> dict[str, float | None]:
    """Return the share of animals whose individual, place or burst is trained on; None where the dataset names none."""
    shares: dict[str, float | None] = {}
    for field in ("identity", "place", "sequence"):
        trained = {getattr(record, field) for record in train} - {None}
        known = [record for record in held_out if getattr(record, field) is not None]
        shares[field] = sum(getattr(r, field) in trained for r in known) / len(known) if trained and known else None
    return shares


def _require_apart(train: Sequence[PoseRecord], val: Sequence[PoseRecord]) -> None:
    """Refuse a validation side all of whose images are trained on, and warn of some: it measures memory.

    Raises:
        InputError: all are.
    """
    trained = {record.image_path for record in train}
    both = [record for record in val if record.image_path in trained]
    if not both:
        return
    message = (
        f"{len(both)} of {len(val)} animals to validate on are in images that are trained on, such as {both[0].source}"
    )
    if len(both) == len(val):
        raise InputError(f"{message}. Choose another split; data.split=shared learns images by heart on purpose")
    log.warning("%s: the figures of these are too good", message)


def by_group(records: Sequence[PoseRecord], groups: Sequence[str], fraction: float, seed: int) -> Split:
    """Fill the training side with whole groups, in random order, as close to its share as they allow."""
    order, sizes = _shuffled(groups, seed)
    wanted, training, taken = fraction * len(records), set(), 0
    for name in order:
        if abs(taken + sizes[name] - wanted) <= abs(taken - wanted):
            training.add(name)
            taken += sizes[name]
    return _divided(records, [group in training for group in groups])


def fold_numbers(groups: Sequence[str], folds: int, seed: int) -> list[int]:
    """Return the part of each record: whole groups in random order, each into the part that has least so far.

    Raises:
        InputError: there are fewer groups than parts.
    """
    order, sizes = _shuffled(groups, seed)
    if len(order) < folds:
        raise InputError(f"data.folds={folds}: there are only {len(order)} groups to divide")
    taken, number = [0] * folds, {}
    for name in order:
        number[name] = taken.index(min(taken))
        taken[number[name]] += sizes[name]
    return [number[group] for group in groups]


def _shuffled(groups: Sequence[str], seed: int) -> tuple[list[str], Counter[str]]:
    names = sorted(set(groups))
    return [names[position] for position in np.random.default_rng(seed).permutation(len(names))], Counter(groups)


def _divided(records: Sequence[PoseRecord], first: Sequence[bool]) -> Split:
    one = [record for record, side in zip(records, first, strict=True) if side]
    return one, [record for record, side in zip(records, first, strict=True) if not side]


def connected_groups(records: Sequence[PoseRecord], fields: Sequence[str]) -> list[str]:
    """Name a group for each record so that equal images and equal values of each field share theirs.

    An animal of which a field is unknown goes by the rest: one without a name by its image, and by its burst.
    """
    images = [f"image {name}" for name in _image_names(records)]
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for record, image in zip(records, images, strict=True):
        for field in fields:
            if (value := getattr(record, field)) is None:
                continue
            node = f"{'individual' if field == 'identity' else field} {value}"
            # Where each burst is one image, its group is called by the image, as if there were no bursts.
            one, other = (node, image) if field == "sequence" else (image, node)
            parent[root(one)] = root(other)
    return [root(image) for image in images]


def _image_names(records: Sequence[PoseRecord]) -> list[str]:
    """Name the image of each record so that one file has one name, whatever ids the dataset has for it."""
    first: dict[Path, str] = {}
    return [first.setdefault(record.image_path, f"{record.image_id}") for record in records]
