"""Which records train and which validate."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.errors import InputError

log = logging.getLogger(__name__)
Split = tuple[list[PoseRecord], list[PoseRecord]]


@dataclass(frozen=True)
class Selection:
    """What of both sides of a split takes part.

    Args:
        train_species: names of the species to train on; None takes all.
        val_species: names of the species to validate on; None takes all.
        train_animals: how many animals to train on; None takes all.
        seed: of their draw; each draw contains the smaller ones of the same seed.
    """

    train_species: Sequence[str] | None = None
    val_species: Sequence[str] | None = None
    train_animals: int | None = None
    seed: int = 0

    def __call__(self, train: Sequence[PoseRecord], val: Sequence[PoseRecord]) -> Split:
        """Return the chosen records of both sides, in their order.

        Raises:
            InputError: a side has no animal of a species, or fewer animals than wanted.
        """
        train = _of_species(train, self.train_species, "data.train_species")
        val = _of_species(val, self.val_species, "data.val_species")
        if self.train_animals is None:
            return train, val
        if not 0 < self.train_animals <= len(train):
            raise InputError(f"data.train_animals={self.train_animals}: there are {len(train)} animals to train on")
        order = np.random.default_rng(self.seed).permutation(len(train))
        return [train[index] for index in sorted(order[: self.train_animals])], val


def _of_species(records: Sequence[PoseRecord], species: Sequence[str] | None, option: str) -> list[PoseRecord]:
    known = {record.species for record in records}
    for name in species or ():
        if name not in known:
            names = ", ".join(sorted(name for name in known if name)) or "none: the annotations name no species"
            raise InputError(f"{option}: there is no animal of the species {name!r} on this side; there are {names}")
    return [record for record in records if species is None or record.species in species]


def random_split(records: Sequence[PoseRecord], fraction: float, seed: int) -> Split:
    """Put `fraction` of the images at random on the training side; one image never serves both."""
    return _by_group(records, _image_names(records), fraction, seed)


def identity_split(records: Sequence[PoseRecord], fraction: float, seed: int) -> Split:
    """Keep every known individual on one side; animals without a name go by their image.

    An image that shows a named animal follows that animal, and so do all individuals in it.

    Raises:
        InputError: no animal has a name, so nothing would keep individuals apart.
    """
    if not any(record.identity for record in records):
        raise InputError("data.split=identity: no animal of this dataset has a name; data.split=random needs none")
    return _by_group(records, _connected_groups(records), fraction, seed)


def shared_split(records: Sequence[PoseRecord], fraction: float, seed: int) -> Split:
    """Put every record on both sides: for overfitting a few images on purpose."""
    return list(records), list(records)


STRATEGIES: dict[str, Callable[[Sequence[PoseRecord], float, int], Split]] = {
    "random": random_split,
    "identity": identity_split,
    "shared": shared_split,
}


def split_records(records: Sequence[PoseRecord], name: str, fraction: float, seed: int) -> Split:
    """Split by a strategy of ours or by one of the dataset's own splits.

    Args:
        records: all usable records.
        name: `random`, `identity`, `shared`, or the name of a split that the dataset defines.
        fraction: share of the training side, for strategies that draw.
        seed: of the draw; independent of the run's seed, so that repeated runs share their validation set.

    Raises:
        InputError: no such split, or one of the sides stays empty.
    """
    own = sorted({split for record in records for split in record.subsets})
    if name in STRATEGIES:
        train, val = STRATEGIES[name](records, fraction, seed)
    elif name in own:
        train = [record for record in records if record.subsets.get(name) == "train"]
        val = [record for record in records if record.subsets.get(name) == "val"]
    else:
        raise InputError(
            f"data.split={name}: this dataset can be split by {', '.join([*STRATEGIES, *own])}, nothing else"
        )
    if not train or not val:
        raise InputError(
            f"data.split={name} leaves {len(train)} records for training and {len(val)} for validation; "
            "both sides need at least one. Choose another split or give data.val for COCO files"
        )
    if name != "shared":
        _require_apart(train, val)
    return train, val


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


def _by_group(records: Sequence[PoseRecord], groups: Sequence[str], fraction: float, seed: int) -> Split:
    """Fill the training side with whole groups, in random order, as close to its share as they allow."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    sizes = dict.fromkeys(names, 0)
    for group in groups:
        sizes[group] += 1
    wanted, training, taken = fraction * len(records), set(), 0
    for position in order:
        name = names[position]
        if abs(taken + sizes[name] - wanted) <= abs(taken - wanted):
            training.add(name)
            taken += sizes[name]
    sides = [group in training for group in groups]
    train = [record for record, side in zip(records, sides, strict=True) if side]
    val = [record for record, side in zip(records, sides, strict=True) if not side]
    return train, val


def _connected_groups(records: Sequence[PoseRecord]) -> list[str]:
    """Name a group for each record so that equal individuals and equal images share theirs."""
    images = [f"image {name}" for name in _image_names(records)]
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for record, image in zip(records, images, strict=True):
        parent[root(image)] = root(f"individual {record.identity}") if record.identity else root(image)
    return [root(image) for image in images]


def _image_names(records: Sequence[PoseRecord]) -> list[str]:
    """Name the image of each record so that one file has one name, whatever ids the dataset has for it."""
    first: dict[Path, str] = {}
    return [first.setdefault(record.image_path, f"{record.image_id}") for record in records]
