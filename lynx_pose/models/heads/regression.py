"""The regression head of DeepPose (Toshev and Szegedy 2014, arXiv 1312.4659)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lynx_pose.data.crop import WarpMatrix
from lynx_pose.models.codecs.coordinates import RelativeCoordinates


class RegressionHead(nn.Module):
    """Global average pooling, fully connected layers, two numbers a keypoint.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map; pooling takes any.
        num_keypoints: K.
        codec: between crop pixels and what is predicted.
        loss: of predictions, targets and weights.
        hidden: widths of the fully connected layers before the last; DeepPose has [4096, 4096].
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: RelativeCoordinates,
        loss: nn.Module,
        hidden: Sequence[int] = (),
    ):
        super().__init__()
        self.codec = codec
        self.criterion = loss
        self.num_keypoints = num_keypoints
        layers: list[nn.Module] = []
        width = in_channels
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU(inplace=True)]
            width = units
        last = nn.Linear(width, 2 * num_keypoints)
        # Start in the middle of the crop.
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, 0.5)
        self.fc = nn.Sequential(*layers, last)

    @property
    def warp_matrix(self) -> WarpMatrix:
        """The crop's map that the codec belongs to."""
        return self.codec.warp_matrix

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h, w] into fractions of the crop [B, K, 2]."""
        fractions: Tensor = self.fc(features.mean(dim=(-2, -1)))
        return fractions.unflatten(1, (self.num_keypoints, 2))

    def loss(self, output: Tensor, keypoints: Tensor, visible: Tensor) -> Tensor:
        """Return the loss of fractions against keypoints [B, K, 2] in crop pixels, visible [B, K]."""
        target, weight = self.codec.encode(keypoints, visible)
        loss: Tensor = self.criterion(output, target, weight)
        return loss

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K]; it has no confidence, so they are 1."""
        return self.codec.decode(output.float()), torch.ones_like(output[..., 0], dtype=torch.float32)

    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        """Return the mean of the outputs of crops and of their mirror images, as an output of the crops."""
        return (output + self.codec.unflip(mirrored, flip_indices)) / 2
