"""Losses on what heads put out."""

from __future__ import annotations

from torch import Tensor, nn

from lynx_pose.errors import InputError


class KeypointMSE(nn.Module):
    """Mean squared error over each heatmap, summed over keypoints with their weights (Equation 6 of the thesis).

    MMPose, which the thesis used, divides by the number of keypoints as well. Adam does not see the factor.
    """

    def forward(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the batch mean.

        Args:
            output: [B, K, h, w] heatmaps.
            target: [B, K, h, w] heatmaps.
            weight: [B, K], 0 where a keypoint takes no part.
        """
        errors = (output.float() - target).square().mean(dim=(-2, -1))
        return (errors * weight).sum(dim=1).mean()


class CoordinateLoss(nn.Module):
    """Mean over all coordinates of an elementwise loss, with the keypoints' weights (Equations 7 to 9).

    Args:
        elementwise: a torch loss without reduction, such as `SmoothL1Loss(beta=1, reduction="none")`.
    """

    def __init__(self, elementwise: nn.Module):
        super().__init__()
        if getattr(elementwise, "reduction", None) != "none":
            raise InputError("head.loss.elementwise must not reduce by itself: give it reduction=none")
        self.elementwise = elementwise

    def forward(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the mean.

        Args:
            output: [B, K, 2].
            target: [B, K, 2].
            weight: [B, K], 0 where a keypoint takes no part.
        """
        losses: Tensor = self.elementwise(output.float(), target) * weight[..., None]
        return losses.mean()
