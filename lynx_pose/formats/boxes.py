"""One animal's box, whichever file lists it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AnimalBox:
    """One animal's box, as a file lists it.

    Args:
        values: x, y, width, height.
        relative: whether they are shares of the image's sides rather than pixels.
        score: the detector's confidence, where known.
        frame: of a video; None in an image.
        ids: names of the animal's record elsewhere, such as Camtrap DP's `observationID`.
    """

    values: tuple[float, float, float, float]
    relative: bool = False
    score: float | None = None
    frame: int | None = None
    ids: Mapping[str, str] = field(default_factory=dict)

    def pixels(self, size: tuple[int, int]) -> list[float]:
        """Return x, y, width, height in pixels of an image of (width, height)."""
        factors = (*size, *size) if self.relative else (1, 1, 1, 1)
        return [value * factor for value, factor in zip(self.values, factors, strict=True)]


# What a file calls an image, and an animal in it; None where it only says that it has looked at the image.
BoxEntry = tuple[str, AnimalBox | None]
