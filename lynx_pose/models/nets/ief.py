"""Iterative Error Feedback (Carreira et al. 2016, arXiv 1507.06550)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.pose_net import PoseNet


class IefNet(PoseNet):
    """A network that sees the crop with a pose drawn into it, and says how to correct the pose.

    Args:
        backbone: makes the backbone from in_chans: three colours and one heatmap a keypoint.
        head: makes the head, whose `start` is the first pose.
        num_keypoints: K.
        channels_last: memory layout of weights and activations.
        steps: number of corrections; 4 in the paper.
        sigma: of the heatmaps that show the pose, in crop pixels.
    """

    def __init__(
        self,
        backbone: Callable[..., nn.Module],
        head: Callable[..., PoseHead],
        num_keypoints: int,
        channels_last: bool,
        steps: int = 4,
        sigma: float = 8.0,
    ):
        super().__init__(backbone(in_chans=3 + num_keypoints), head, num_keypoints, channels_last)
        self.steps = steps
        self.sigma = sigma

    def forward(self, image: Tensor) -> Tensor:
        """Turn crops [B, H, W, 3], uint8 RGB, into poses [B, 1 + steps, K, 2] in fractions of the crop."""
        pixels = self.normalize(image)
        poses = [self.head.start.expand(len(image), -1, -1)]  # type: ignore[operator]  # a parameter
        for _ in range(self.steps):
            before = poses[-1].detach()
            drawn = draw_poses(before, (pixels.shape[-1], pixels.shape[-2]), self.sigma)
            seen = torch.cat([pixels, drawn.to(pixels.dtype)], dim=1).contiguous(memory_format=self.layout)
            poses.append(before + self.head(self.backbone(seen)[-1]))
        return torch.stack(poses, dim=1)


def draw_poses(poses: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Draw a Gaussian at each keypoint.

    Args:
        poses: [B, K, 2] in fractions of the crop.
        size: (width, height) of the crop in pixels.
        sigma: in crop pixels.

    Returns:
        [B, K, H, W] with 1 at the keypoint.
    """
    axes = [
        torch.exp(-((torch.arange(length, device=poses.device) - poses[..., i : i + 1] * length) ** 2) / 2 / sigma**2)
        for i, length in enumerate(size)
    ]
    return axes[1][..., :, None] * axes[0][..., None, :]
