"""What a head needs to know of a backbone's feature map, in timm's words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeatureInfo:
    """One feature map.

    Args:
        width: number of channels.
        stride: crop pixels per cell.
    """

    width: int
    stride: int

    def channels(self) -> list[int]:
        """Channels of each feature map."""
        return [self.width]

    def reduction(self) -> list[int]:
        """Crop pixels per cell of each feature map."""
        return [self.stride]
