"""Where the animals are: listed in a file, or the whole photograph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class AnimalBox:
    """One animal's box, as a file lists it.

    Args:
        values: x, y, width, height.
        relative: whether they are shares of the photograph's sides rather than pixels.
        score: the detector's confidence, where known.
        frame: of a video; None in a photograph.
        ids: names of the animal's record elsewhere, such as Camtrap DP's `observationID`.
    """

    values: tuple[float, float, float, float]
    relative: bool = False
    score: float | None = None
    frame: int | None = None
    ids: Mapping[str, str] = field(default_factory=dict)

    def pixels(self, size: tuple[int, int]) -> list[float]:
        """Return x, y, width, height in pixels of a photograph of (width, height)."""
        factors = (*size, *size) if self.relative else (1, 1, 1, 1)
        return [value * factor for value, factor in zip(self.values, factors, strict=True)]


class Boxes(Protocol):
    """Knows the animals of each photograph and video."""

    @property
    def fingerprint(self) -> str:
        """Changes when the boxes do."""
        ...

    def of(self, name: str, frame: int | None = None) -> Sequence[AnimalBox]:
        """Return the animals in a file, named relative to the folder of all; in a video's frame, counted from 0."""
        ...


class WholeImage:
    """Takes each photograph as the box of one animal."""

    fingerprint = "image"

    def of(self, name: str, frame: int | None = None) -> Sequence[AnimalBox]:
        """Return one box, all of it."""
        return [AnimalBox((0.0, 0.0, 1.0, 1.0), relative=True)]


@dataclass(frozen=True)
class ListedBoxes:
    """Boxes that a file lists.

    Args:
        animals: of each photograph or video that the file names; empty where it says that there are none.
        fingerprint: of the file and of what was chosen of it.
    """

    animals: Mapping[str, Sequence[AnimalBox]]
    fingerprint: str

    def of(self, name: str, frame: int | None = None) -> Sequence[AnimalBox]:
        """Return the animals in a file; in a frame of a video, those of the nearest frame that the file has."""
        animals = self.animals.get(name, ())
        frames = {animal.frame for animal in animals if animal.frame is not None}
        if frame is None or not frames:
            return animals
        nearest = min(frames, key=lambda known: (abs(known - frame), known))
        return [animal for animal in animals if animal.frame == nearest]

    def missing(self, names: Sequence[str]) -> Iterator[str]:
        """Yield the photographs that the file does not name."""
        return (name for name in names if name not in self.animals)
