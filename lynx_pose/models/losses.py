"""Losses on what heads put out."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from lynx_pose.errors import InputError


def require_heatmaps(loss: nn.Module, output: object) -> None:
    """Refuse an output that is not [B, K, h, w], before broadcasting makes a number of it."""
    if not isinstance(output, Tensor) or output.ndim != 4:
        raise InputError(f"head.loss: {type(loss).__name__} is a loss of heatmaps, which this head does not put out")


def require_coordinates(loss: nn.Module, output: object, numbers: int) -> None:
    """Refuse an output that is not [B, K, numbers]."""
    if not isinstance(output, Tensor) or output.ndim != 3 or output.shape[-1] != numbers:
        raise InputError(
            f"head.loss: {type(loss).__name__} is a loss of {numbers} numbers a keypoint, "
            "which this head does not put out"
        )


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
        require_heatmaps(self, output)
        errors = (output.float() - target).square().mean(dim=(-2, -1))
        return (errors * weight).sum(dim=1).mean()


class KeypointSSE(nn.Module):
    """As `KeypointMSE`, with the sum over each heatmap in place of the mean: height × width times as much."""

    def forward(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the batch mean; arguments as those of `KeypointMSE`."""
        require_heatmaps(self, output)
        errors = (output.float() - target).square().sum(dim=(-2, -1))
        return (errors * weight).sum(dim=1).mean()


class KeypointBCE(nn.Module):
    """Mean binary cross-entropy of each heatmap's logits with a Gaussian, summed over keypoints with their weights.

    Args:
        sigma: of the Gaussians in cells; what is inside then weighs height × width / (π σ²) times as much, as in
            Equation 2 of paper 1818 ("A Synthesis Approach to Semi-Supervised 3D Pose Estimation from Single Images").
    """

    def __init__(self, sigma: float | None = None):
        super().__init__()
        self.sigma = sigma

    def forward(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the batch mean; `output` [B, K, h, w] are logits, the rest as for `KeypointMSE`."""
        require_heatmaps(self, output)
        cells = target.shape[-1] * target.shape[-2]
        inside = torch.tensor(cells / (math.pi * self.sigma**2)) if self.sigma else None
        losses = functional.binary_cross_entropy_with_logits(
            output.float(), target, reduction="none", pos_weight=inside
        )
        return (losses.mean(dim=(-2, -1)) * weight).sum(dim=1).mean()


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
            output: [B, K, D].
            target: [B, K, D], D of 2 or 3.
            weight: [B, K], 0 where a keypoint takes no part, or [B, K, D].
        """
        require_coordinates(self, output, target.shape[-1] if isinstance(target, Tensor) else 2)
        losses: Tensor = self.elementwise(output.float(), target)
        return (losses * (weight if weight.ndim == target.ndim else weight[..., None])).mean()
