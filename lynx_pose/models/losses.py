"""Losses on what heads put out."""

from __future__ import annotations

from torch import Tensor, nn


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
