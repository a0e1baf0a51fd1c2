"""Residual log-likelihood estimation (Li et al. 2021, arXiv 2107.11291), with its normalising flow."""

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from lynx_pose.models.codecs.coordinate_codec import RelativeCoordinates
from lynx_pose.models.heads.regression import CoordinateOutput, fully_connected
from lynx_pose.models.losses import require_coordinates

# Of a batch's mean, in the mean that is kept.
FOLLOWED = 0.02


class RealNVP(nn.Module):
    """RealNVP (Dinh et al. 2017, arXiv 1605.08803): a density over two-dimensional residuals, by coupling layers.

    Args:
        layers: number of coupling layers; every other one moves x, the rest y.
        hidden: width of the small networks within.
    """

    masks: Tensor

    def __init__(self, layers: int = 6, hidden: int = 64):
        super().__init__()
        masks = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(layers // 2, 1)
        self.register_buffer("masks", masks, persistent=False)
        self.scales = nn.ModuleList(_small_network(hidden, nn.Tanh()) for _ in masks)
        self.shifts = nn.ModuleList(_small_network(hidden, nn.Identity()) for _ in masks)

    def log_prob(self, points: Tensor) -> Tensor:
        """Return the log-density [...] at points [..., 2]."""
        log_determinant = torch.zeros_like(points[..., 0])
        for mask, scale, shift in reversed(list(zip(self.masks, self.scales, self.shifts, strict=True))):
            kept, free = mask * points, 1 - mask
            log_scale = scale(kept) * free
            points = free * (points - shift(kept)) * torch.exp(-log_scale) + kept
            log_determinant = log_determinant - log_scale.sum(dim=-1)
        standard_normal = -0.5 * points.square().sum(dim=-1) - math.log(2 * math.pi)
        return standard_normal + log_determinant


def _small_network(hidden: int, last: nn.Module) -> nn.Sequential:
    network = nn.Sequential(
        nn.Linear(2, hidden), nn.LeakyReLU(), nn.Linear(hidden, hidden), nn.LeakyReLU(), nn.Linear(hidden, 2), last
    )
    for layer in network:
        if isinstance(layer, nn.Linear):
            # Near the identity, so that the first steps train the coordinates.
            nn.init.xavier_uniform_(layer.weight, gain=0.01)
            nn.init.zeros_(layer.bias)
    return network


class RLELoss(nn.Module):
    """The negative log-likelihood of coordinates under a Laplace density that a flow corrects (section 3.3 there).

    The authors' program, and MMPose after it, count the deviation's logarithm and the flow twice; here each
    enters once, as in the derivation.

    Args:
        flow: density of the residuals.
    """

    def __init__(self, flow: RealNVP):
        super().__init__()
        self.flow = flow

    def forward(self, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the mean over coordinates.

        Args:
            output: [B, K, 4]: x, y and their deviations, in fractions of the crop.
            target: [B, K, 2].
            weight: [B, K], 0 where a keypoint takes no part.
        """
        require_coordinates(self, output, 4)
        position, sigma = output.float().split(2, dim=-1)
        # What does not take part could be anywhere, and would overflow.
        residual = torch.where(weight[..., None] > 0, (position - target) / sigma, 0.0)
        with torch.autocast(output.device.type, enabled=False):
            log_correction = self.flow.log_prob(residual)
        laplace = torch.log(2 * sigma) + residual.abs()
        losses = laplace.sum(dim=-1) - log_correction
        return (losses * weight).mean() / 2


class RLEHead(CoordinateOutput):
    """Global average pooling and one layer: position and deviation, four numbers a keypoint.

    The flow learns the residuals' density at any scale, so the loss leaves the deviations' common scale free and they
    come out many times too large. `residual_scale`, the residuals' mean in training, gives it back (`widths`); the
    scores keep the deviations as they are.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map; pooling takes any.
        num_keypoints: K.
        codec: between crop pixels and what is predicted.
        loss: of positions with deviations, targets and weights.
    """

    residual_scale: Tensor

    def __init__(
        self, in_channels: int, in_stride: int, num_keypoints: int, codec: RelativeCoordinates, loss: nn.Module
    ):
        super().__init__(num_keypoints, codec, loss)
        self.register_buffer("residual_scale", torch.ones(()))
        self.position = fully_connected([in_channels, 2 * num_keypoints], first_output=0.5)
        self.deviation = fully_connected([in_channels, 2 * num_keypoints], first_output=-math.log(3))

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h, w] into positions and deviations [B, K, 4] in fractions of the crop."""
        pooled = features.mean(dim=(-2, -1))
        parts = [self.position(pooled), self.deviation(pooled).sigmoid()]
        return torch.cat([part.unflatten(1, (self.num_keypoints, 2)) for part in parts], dim=-1)

    @override
    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        if self.training:
            self._follow_scale(output.detach().float(), keypoints, weight)
        return super().loss(output, keypoints, weight)

    def _follow_scale(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> None:
        """Let `residual_scale` follow the batches' means slowly."""
        target, seen = self.codec.encode(keypoints, weight)
        position, sigma = output.split(2, dim=-1)
        residual = ((position - target) / sigma).abs().mean(dim=-1)
        if (seen > 0).any():
            self.residual_scale.lerp_(residual[seen > 0].mean(), FOLLOWED)

    def widths(self, output: Tensor) -> Tensor:
        """Return the expected absolute error [B, K, 2] of x and y in crop pixels: the width of a Laplace density."""
        sizes = torch.tensor(self.codec.input_size, device=output.device, dtype=torch.float32)
        return output[..., 2:].float() * self.residual_scale * sizes

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K], 1 minus the mean deviation."""
        position, sigma = output.float().split(2, dim=-1)
        return self.codec.decode(position), 1 - sigma.mean(dim=-1)

    @override
    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        position = super().average_flipped(output[..., :2], mirrored[..., :2], flip_indices)
        sigma = (output[..., 2:] + mirrored[:, flip_indices, 2:]) / 2
        return torch.cat([position, sigma], dim=-1)
