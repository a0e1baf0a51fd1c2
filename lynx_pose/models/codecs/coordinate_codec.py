"""Coordinates as they are, relative to the crop: what regression heads predict."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lynx_pose.data.crop import CropConvention


@dataclass(frozen=True)
class RelativeCoordinates:
    """Keypoints in fractions of the crop's width and height.

    Args:
        input_size: (width, height) of the crop in pixels.
    """

    input_size: tuple[int, int]
    crop_convention: ClassVar = CropConvention.CLASSIC

    def encode(self, keypoints: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Make the targets.

        Args:
            keypoints: [B, K, 2] in crop pixels.
            weight: [B, K], 0 where a keypoint is not visible.

        Returns:
            fractions [B, K, 2] and weights [B, K]; the weight is 0 outside the crop.
        """
        last = self._size(keypoints) - 1
        inside = ((keypoints >= 0) & (keypoints <= last)).all(dim=-1)
        return keypoints / self._size(keypoints), (weight * inside).to(keypoints.dtype)

    def decode(self, fractions: Tensor) -> Tensor:
        """Return keypoints [B, K, 2] in crop pixels."""
        return fractions * self._size(fractions)

    def unflip(self, fractions: Tensor, flip_indices: list[int]) -> Tensor:
        """Turn the prediction [B, K, 2] for mirrored crops into that for the crops themselves."""
        last = 1 - 1 / self.input_size[0]
        mirrored = fractions[:, flip_indices]
        return torch.stack([last - mirrored[..., 0], mirrored[..., 1]], dim=-1)

    def _size(self, like: Tensor) -> Tensor:
        return torch.tensor(self.input_size, device=like.device, dtype=like.dtype)
