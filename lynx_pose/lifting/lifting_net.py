"""The network from 2D points to edges in three dimensions (section 3.3.3 of the lifting paper)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lynx_pose.lifting.skeleton3d import EDGES, NODES, directions, node_positions


class LiftedEdges(NamedTuple):
    """What the network says of n skeletons.

    Attributes:
        lengths: [n, 15] of the edges, in 0–1 of the longest.
        directions: [n, 15, 3] unit vectors of the edges.
    """

    lengths: Tensor
    directions: Tensor

    @property
    def positions(self) -> Tensor:
        """[n, 16, 3] of the nodes; the root is at 0."""
        return node_positions(self.lengths[..., None] * self.directions)


class LiftingNet(nn.Module):
    """A fully connected network with residual blocks, after Martinez et al. 2017.

    Args:
        width: of its layers; the paper has 1024.
        blocks: of two layers each.
    """

    def __init__(self, width: int = 1024, blocks: int = 3):
        super().__init__()
        # Beside each point whether it is seen, which is ours: the paper needs all of them.
        self.first = nn.Linear(3 * len(NODES), width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()),
                *(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()),
            )
            for _ in range(blocks)
        )
        self.last = nn.Linear(width, 3 * len(EDGES))

    def forward(self, points: Tensor, seen: Tensor) -> LiftedEdges:
        """Lift points [n, 16, 2], x to the right and z up in any unit, of which `seen` [n, 16] are known."""
        shown = seen[..., None].to(points.dtype)
        features = self.first(torch.cat([normalized(points, seen), shown], dim=-1).flatten(1))
        for block in self.blocks:
            features = features + block(features)
        length, theta, phi = self.last(features).unflatten(1, (len(EDGES), 3)).unbind(-1)
        return LiftedEdges(length.sigmoid(), directions(theta, phi))


def normalized(points: Tensor, seen: Tensor) -> Tensor:
    """Move the seen points' mean to 0 and their root mean square radius to 1; those that are not seen become 0."""
    weight = seen[..., None].to(points.dtype)
    count = weight.sum(dim=1, keepdim=True).clip(min=1)
    centred = (points - (points * weight).sum(dim=1, keepdim=True) / count) * weight
    radius = ((centred**2).sum(dim=(1, 2), keepdim=True) / count).sqrt()
    return centred / radius.clip(min=1e-6)


class SimilarityFit(NamedTuple):
    """The scale [n] and shift [n, 2] that lay one set of points on another."""

    scale: Tensor
    shift: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Lay points [n, 16, 2] there."""
        return self.scale[:, None, None] * points + self.shift[:, None]


def fit_similarity(source: Tensor, target: Tensor, seen: Tensor) -> SimilarityFit:
    """Fit scale and shift by least squares, so that scale · source + shift is near target; both [n, 16, 2]."""
    weight = seen[..., None].to(source.dtype)
    count = weight.sum(dim=1).clip(min=1)
    middle, goal = ((points * weight).sum(dim=1) / count for points in (source, target))
    from_middle, from_goal = (source - middle[:, None]) * weight, (target - goal[:, None]) * weight
    scale = (from_middle * from_goal).sum(dim=(1, 2)) / (from_middle**2).sum(dim=(1, 2)).clip(min=1e-12)
    return SimilarityFit(scale, goal - scale[:, None] * middle)
