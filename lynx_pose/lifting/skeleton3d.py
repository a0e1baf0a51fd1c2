"""The skeleton that is lifted: a tree of 16 nodes whose 15 edges have a length and a direction.

Section 3.3.1 of the lifting paper (Equations 3 to 6). Its figure of the tree is not in its text: the choice of
Animal-Pose keypoints for the nodes is ours. Axes: x to the right, y away from the camera, z up, which is right-handed.
"""

import torch
from torch import Tensor

# The root first: the throat stands for the neck.
NODES = (
    "Throat", "Nose", "Withers", "TailBase",
    "L_F_Elbow", "L_F_Knee", "L_F_Paw", "R_F_Elbow", "R_F_Knee", "R_F_Paw",
    "L_B_Elbow", "L_B_Knee", "L_B_Paw", "R_B_Elbow", "R_B_Knee", "R_B_Paw",
)  # fmt: skip  # in the order of the body, several a row
ROOT = 0
# Parent and child of each edge, parents before their children.
EDGES = (
    (0, 1), (0, 2), (2, 3), (2, 4), (4, 5), (5, 6), (2, 7), (7, 8), (8, 9),
    (3, 10), (10, 11), (11, 12), (3, 13), (13, 14), (14, 15),
)  # fmt: skip  # limb by limb
# Numbers of the edges of the left and the right side that are of one length.
EDGE_PAIRS = ((3, 6), (4, 7), (5, 8), (9, 12), (10, 13), (11, 14))
# Below this length an edge has no direction.
NO_LENGTH = 1e-8


def _edges_from_root() -> Tensor:
    """Return [16, 15], 1 where an edge lies on the way from the root to a node."""
    way = torch.zeros(len(NODES), len(EDGES))
    for number, (parent, child) in enumerate(EDGES):
        way[child] = way[parent]
        way[child, number] = 1
    return way


_WAY = _edges_from_root()


def directions(theta: Tensor, phi: Tensor) -> Tensor:
    """Turn angles [..., 15] in radians, from the z axis and about it, into unit vectors [..., 15, 3] (Equation 5)."""
    sine = theta.sin()
    return torch.stack([sine * phi.cos(), sine * phi.sin(), theta.cos()], dim=-1)


def node_positions(vectors: Tensor) -> Tensor:
    """Add edges [..., 15, 3] up along the tree, and return the nodes' positions [..., 16, 3]; the root is at 0."""
    return _WAY.to(vectors) @ vectors


def edge_vectors(positions: Tensor) -> Tensor:
    """Return the edges [..., 15, 3] of nodes [..., 16, 3], each from parent to child."""
    parents, children = zip(*EDGES, strict=True)
    return positions[..., children, :] - positions[..., parents, :]


def from_spherical(edges: Tensor) -> Tensor:
    """Turn edges [..., 15, 3] as r, θ, φ into positions [..., 16, 3]: f of Equation 6."""
    length, theta, phi = edges.unbind(-1)
    return node_positions(length[..., None] * directions(theta, phi))


def to_spherical(positions: Tensor) -> Tensor:
    """Turn positions [..., 16, 3] into edges [..., 15, 3] as r, θ in [0, π], φ in [−π, π]: f⁻¹ of Equation 6.

    An edge without length has the angles 0.
    """
    vectors = edge_vectors(positions)
    length = vectors.norm(dim=-1)
    long = length > NO_LENGTH
    theta = (vectors[..., 2] / torch.where(long, length, 1)).clip(-1, 1).acos()
    phi = torch.atan2(vectors[..., 1], vectors[..., 0])
    return torch.stack([length, torch.where(long, theta, 0), torch.where(long, phi, 0)], dim=-1)
