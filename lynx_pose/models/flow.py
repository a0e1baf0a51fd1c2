"""A normalising flow over the plane: RealNVP (Dinh et al. 2017, arXiv 1605.08803)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RealNVP(nn.Module):
    """A density over two-dimensional residuals, learnt by invertible coupling layers.

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
