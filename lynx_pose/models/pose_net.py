"""The network: uint8 crops in, a head's output out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from lynx_pose.data.crop import WarpMatrix

# Of ImageNet's pixels, as every backbone of timm and MMPose that we load was trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Heatmaps, coordinates, or whatever else a head makes of features, loses on and decodes.
Output = Any


class PoseHead(Protocol):
    """What the task asks of a head; the output's type is the head's own affair."""

    @property
    def warp_matrix(self) -> WarpMatrix:
        """The convention of the crop's map that the head's codec belongs to."""
        ...

    def __call__(self, features: Tensor) -> Output:
        """Turn feature maps into an output."""
        ...

    def loss(self, output: Output, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return a scalar, from keypoints [B, K, 2] in crop pixels and weights [B, K], 0 where not visible."""
        ...

    def decode(self, output: Output) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K]."""
        ...

    def average_flipped(self, output: Output, mirrored: Output, flip_indices: list[int]) -> Output:
        """Combine the outputs of crops and of their mirror images."""
        ...


class PoseNet(nn.Module):
    """Backbone and head.

    Args:
        backbone: from [B, 3, H, W] to a list whose last entry is the feature map, with timm's `feature_info`.
        head: makes the head from in_channels, in_stride and num_keypoints.
        num_keypoints: K.
        channels_last: memory layout of weights and activations; it changes the speed, not the result.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, head: Callable[..., nn.Module], num_keypoints: int, channels_last: bool = True
    ):
        super().__init__()
        info: Any = backbone.feature_info
        self.backbone = backbone
        self.head = head(in_channels=info.channels()[-1], in_stride=info.reduction()[-1], num_keypoints=num_keypoints)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255, persistent=False)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self.layout)

    @property
    def pose_head(self) -> PoseHead:
        """The head, as what it can do."""
        return cast(PoseHead, self.head)

    def normalised(self, image: Tensor) -> Tensor:
        """Turn crops [B, H, W, 3], uint8 RGB, into what backbones take, [B, 3, H, W]."""
        # In place: on a CPU, three channels side by side are slow to broadcast into new memory.
        pixels = image.permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
        # Crops come channels-last, so the fast layout costs nothing here.
        return pixels.contiguous(memory_format=self.layout)

    def forward(self, image: Tensor) -> Output:
        """Turn crops [B, H, W, 3], uint8 RGB, into the head's output."""
        return self.head(self.backbone(self.normalised(image))[-1])
