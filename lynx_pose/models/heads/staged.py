"""Heatmaps after every stage of a network, each supervised: what hourglasses and pose machines share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lynx_pose.models.heads.heatmap import HeatmapOutput


class StagedHeatmaps(HeatmapOutput):
    """Loss and decoding of heatmaps [B, S, K, h, w] of S stages; the last one's are the prediction."""

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of the stages' losses (intermediate supervision)."""
        with torch.no_grad():
            target, weight = self.codec.encode(keypoints, weight)
        stages = [self.criterion(heatmaps, target, weight) for heatmaps in output.unbind(dim=1)]
        return torch.stack(stages).sum()

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K] of the last stage."""
        return super().decode(output[:, -1])

    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        """Return the last stage's mean over crops and mirror images [B, 1, K, h, w]."""
        return super().average_flipped(output[:, -1], mirrored[:, -1], flip_indices)[:, None]


def to_heatmaps(in_channels: int, num_keypoints: int) -> nn.Conv2d:
    """Make the 1×1 convolution to heatmaps, which are nearly 0 before training, as most of their target is."""
    convolution = nn.Conv2d(in_channels, num_keypoints, 1)
    nn.init.normal_(convolution.weight, std=0.001)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
    return convolution
