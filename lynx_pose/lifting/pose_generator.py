"""Valid poses of four-legged animals out of random numbers (section 3.3.2 of the lifting paper)."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from lynx_pose.errors import InputError
from lynx_pose.lifting.skeleton3d import EDGE_PAIRS, EDGES, NODES, directions, node_positions

# For each node where its edge may point, in degrees: θ from the z axis, φ about it. The animal stands upright and faces
# −y, so that its left is at +x. The paper has such ranges and does not print them; these are ours.
RANGES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "Nose": ((60, 125), (-130, -50)),
    "Withers": ((40, 100), (60, 120)),
    "TailBase": ((75, 110), (70, 110)),
    "L_F_Elbow": ((145, 172), (-60, 60)),
    "R_F_Elbow": ((145, 172), (120, 240)),
    "L_F_Knee": ((140, 175), (70, 110)),
    "R_F_Knee": ((140, 175), (70, 110)),
    "L_F_Paw": ((140, 178), (70, 110)),
    "R_F_Paw": ((140, 178), (70, 110)),
    "L_B_Elbow": ((120, 165), (-90, -20)),
    "R_B_Elbow": ((120, 165), (-160, -90)),
    "L_B_Knee": ((110, 160), (65, 115)),
    "R_B_Knee": ((110, 160), (65, 115)),
    "L_B_Paw": ((140, 178), (-120, -60)),
    "R_B_Paw": ((140, 178), (-120, -60)),
}
# Of these edges φ has its sign at random: they point backward or forward.
EITHER_WAY = ("L_F_Knee", "R_F_Knee", "L_F_Paw", "R_F_Paw")
Rotation = Callable[[int, Generator], Tensor]
_CHILDREN = [NODES[child] for _, child in EDGES]


class GeneratedPoses(NamedTuple):
    """Poses and how a camera sees them (Equation 7).

    Attributes:
        points: [n, 16, 2] x and z of the nodes, seen from far away along y.
        lengths: [n, 15] of the edges; the longest of a pose is 1.
        directions: [n, 15, 3] unit vectors of the edges.
    """

    points: Tensor
    lengths: Tensor
    directions: Tensor

    @property
    def positions(self) -> Tensor:
        """[n, 16, 3] of the nodes; the root is at 0."""
        return node_positions(self.lengths[..., None] * self.directions)


class PoseGenerator:
    """Draws poses: an upright animal with random edges, then turned.

    Args:
        rotation: draws n rotations [n, 3, 3].
        lengths: shortest and longest of the edge to each node, before the longest edge of a pose becomes 1. A node with
            a side is named without it, `F_Elbow`; both sides are of one length.

    Raises:
        InputError: the lengths are of other nodes, or no ranges.
    """

    def __init__(self, rotation: Rotation, lengths: Mapping[str, tuple[float, float]]):
        self.rotation = rotation
        if set(lengths) != (nodes := {_without_side(name) for name in _CHILDREN}):
            raise InputError(f"poses.lengths: {', '.join(lengths)} must be {', '.join(sorted(nodes))}")
        if wrong := [name for name, (low, high) in lengths.items() if not 0 <= low <= high or high == 0]:
            raise InputError(
                f"poses.lengths.{wrong[0]}={list(lengths[wrong[0]])}: must be a shortest and a longest length"
            )
        self._shortest, longest = torch.tensor([lengths[_without_side(name)] for name in _CHILDREN]).unbind(1)
        self._spread = longest - self._shortest
        ranges = torch.tensor([RANGES[name] for name in _CHILDREN]).deg2rad()
        self._low, self._width = ranges[..., 0], ranges[..., 1] - ranges[..., 0]
        self._either_way = torch.tensor([name in EITHER_WAY for name in _CHILDREN])

    def upright(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw lengths [count, 15] and directions [count, 15, 3] of animals that stand and face −y."""
        drawn = torch.rand(4, count, len(EDGES), generator=generator)
        theta, phi = (self._low[:, axis] + self._width[:, axis] * drawn[axis] for axis in (0, 1))
        phi = torch.where(self._either_way & (drawn[2] < 0.5), -phi, phi)
        lengths = self._shortest + self._spread * drawn[3]
        # Equation 8 wants both sides alike.
        left, right = zip(*EDGE_PAIRS, strict=True)
        lengths[:, right] = lengths[:, left]
        return lengths / lengths.amax(dim=1, keepdim=True), directions(theta, phi)

    def __call__(self, count: int, generator: Generator) -> GeneratedPoses:
        """Draw poses and what is seen of them; the same state of the generator gives the same poses."""
        lengths, upright = self.upright(count, generator)
        turned = upright @ self.rotation(count, generator).mT
        points = node_positions(lengths[..., None] * turned)[..., [0, 2]]
        return GeneratedPoses(points, lengths, turned)


def _without_side(name: str) -> str:
    return name.removeprefix("L_").removeprefix("R_")


def any_rotation(count: int, generator: Generator) -> Tensor:
    """Draw rotations [count, 3, 3], each as likely as any other, as the paper: animals may climb or lie."""
    w, x, y, z = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1).unbind(1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=1),
    ]
    return torch.stack(rows, dim=1)


class CameraTrapRotation:
    """Draws rotations as a camera at a tree sees animals that stand: headed anywhere, from nearly their own height.

    Args:
        pitch: degrees by which the camera looks up or down at most.
        roll: degrees by which it is tilted at most.
    """

    def __init__(self, pitch: float = 20.0, roll: float = 10.0):
        self.limits = torch.tensor([180.0, pitch, roll])

    def __call__(self, count: int, generator: Generator) -> Tensor:
        """Draw rotations [count, 3, 3]."""
        angles = (2 * torch.rand(count, 3, generator=generator) - 1) * self.limits
        yaw, pitch, roll = angles.deg2rad().unbind(1)
        return _turn(roll, about=1) @ _turn(pitch, about=0) @ _turn(yaw, about=2)


def _turn(angle: Tensor, about: int) -> Tensor:
    """Return rotations [n, 3, 3] about an axis."""
    first, second = (about + 1) % 3, (about + 2) % 3
    matrix = torch.eye(3).repeat(len(angle), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = angle.cos()
    matrix[:, first, second], matrix[:, second, first] = -angle.sin(), angle.sin()
    return matrix
