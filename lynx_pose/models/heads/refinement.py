"""Coordinates that are refined step by step: what DeepPose's cascade and iterative error feedback share."""

import torch
from torch import Tensor, nn

from lynx_pose.models.codecs.coordinate_codec import RelativeCoordinates
from lynx_pose.models.heads.regression import RegressionHead, fully_connected


class DeepPoseHead(RegressionHead):
    """A regression head whose network puts out poses [B, S, K, 2] of S steps; the last one is the prediction."""

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of the steps' losses."""
        losses = [super(DeepPoseHead, self).loss(pose, keypoints, weight) for pose in output.unbind(dim=1)]
        return torch.stack(losses).sum()

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K], all 1, of the last step."""
        return super().decode(output[:, -1])

    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        """Return the last step's mean over crops and mirror images [B, 1, K, 2]."""
        return super().average_flipped(output[:, -1], mirrored[:, -1], flip_indices)[:, None]


class IefHead(DeepPoseHead):
    """Bounded corrections of a pose, learnt step by step (Carreira et al. 2016, arXiv 1507.06550, section 2).

    The first pose is a parameter under an L1 loss, which makes it the median pose of the training set.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map; pooling takes any.
        num_keypoints: K.
        codec: between crop pixels and what is predicted.
        loss: of corrections, their targets and weights.
        longest: length of the longest correction in fractions of the crop; 20 of 224 pixels in the paper.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: RelativeCoordinates,
        loss: nn.Module,
        longest: float,
    ):
        super().__init__(in_channels, in_stride, num_keypoints, codec, loss)
        self.fc = fully_connected([in_channels, 2 * num_keypoints], first_output=0.0)
        self.start = nn.Parameter(torch.full((num_keypoints, 2), 0.5))
        self.longest = longest

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of poses [B, T + 1, K, 2]: of each step's correction, and of the first pose.

        The paper moves the pose along the straight line to the truth while training; here, along the
        network's own corrections, whose errors it meets in use.
        """
        target, weight = self.codec.encode(keypoints, weight)
        before, after = output[:, :-1].detach(), output[:, 1:]
        corrections = bounded(target[:, None] - before, self.longest)
        loss: Tensor = self.criterion(
            (after - before).flatten(0, 1), corrections.flatten(0, 1), weight.repeat_interleave(before.shape[1], dim=0)
        )
        first = (output[:, 0] - target).abs() * weight[..., None]
        return loss + first.mean()


def bounded(vectors: Tensor, longest: float) -> Tensor:
    """Shorten vectors [..., 2] to the length `longest` where they are longer."""
    length = vectors.norm(dim=-1, keepdim=True)
    return vectors * (longest / length.clamp(min=longest))
