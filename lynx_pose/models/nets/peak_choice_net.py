"""The network that looks at a crop and its heatmaps together (paper 1818, "A Synthesis Approach to Semi-Supervised 3D
Pose Estimation from Single Images", section 3.2).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.heads.peak_choice import ChosenPlaces
from lynx_pose.models.nets.autoencoder import InterleavedNet
from lynx_pose.models.pose_net import PoseNet


class PeakChoiceNet(PoseNet):
    """Heatmaps of a network that is trained already and frozen, and an encoder that chooses a place in each.

    A heatmap's highest peak may belong to the other side, or to another animal; what tells is how all of them lie.

    Args:
        backbone: makes the encoder from in_chans: three colours and one heatmap a keypoint.
        head: makes the `PeakChoiceHead`.
        num_keypoints: K.
        channels_last: memory layout of weights and activations.
        heatmaps: makes the network of heatmaps from its backbone, head, K and layout.
        heatmap_backbone: of the network of heatmaps.
        heatmap_head: makes its head.
    """

    def __init__(
        self,
        backbone: Callable[..., nn.Module],
        head: Callable[..., PoseHead],
        num_keypoints: int,
        channels_last: bool,
        heatmaps: Callable[..., InterleavedNet],
        heatmap_backbone: nn.Module,
        heatmap_head: Callable[..., PoseHead],
    ):
        super().__init__(backbone(in_chans=3 + num_keypoints), head, num_keypoints, channels_last)
        self.heatmaps = heatmaps(heatmap_backbone, heatmap_head, num_keypoints, channels_last)
        self.heatmaps.requires_grad_(False)

    @override
    def train(self, mode: bool = True) -> "PeakChoiceNet":
        super().train(mode)
        self.heatmaps.eval()
        return self

    @override
    def forward(self, image: Tensor) -> ChosenPlaces:
        with torch.no_grad():
            heatmaps = torch.sigmoid(self.heatmaps(image))
        return self.choose(self.normalize(image), heatmaps)

    def choose(self, pixels: Tensor, heatmaps: Tensor) -> ChosenPlaces:
        """Choose a place in each of heatmaps [B, K, H, W] of normalised crops [B, 3, H, W]."""
        seen: Any = torch.cat([pixels, heatmaps.to(pixels.dtype)], dim=1).contiguous(memory_format=self.layout)
        return ChosenPlaces(self.head(self.backbone(seen)[-1]), heatmaps)
