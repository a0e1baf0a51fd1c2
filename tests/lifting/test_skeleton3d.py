"""The skeleton in three dimensions, and the poses that are drawn on it."""

import math

import pytest
import torch
from torch import Generator

from lynx_pose.errors import InputError
from lynx_pose.lifting.pose_generator import CameraTrapRotation, PoseGenerator, any_rotation
from lynx_pose.lifting.skeleton3d import EDGE_PAIRS, EDGES, NODES, from_spherical, to_spherical

ANY_LENGTH = dict.fromkeys(
    ("Nose", "Withers", "TailBase", "F_Elbow", "F_Knee", "F_Paw", "B_Elbow", "B_Knee", "B_Paw"), (0.0, 1.0)
)
ROTATIONS = {"any": any_rotation, "camera_trap": CameraTrapRotation()}


def _generator(seed=0):
    return Generator().manual_seed(seed)


def test_edges_become_positions_one_after_the_other():
    """Equation 5, node by node."""
    edges = torch.rand(15, 3, generator=_generator()).double() * 3
    expected = [(0.0, 0.0, 0.0)] + [None] * 15
    for (parent, child), (r, theta, phi) in zip(EDGES, edges.tolist(), strict=True):
        x, y, z = expected[parent]
        expected[child] = (
            x + r * math.sin(theta) * math.cos(phi),
            y + r * math.sin(theta) * math.sin(phi),
            z + r * math.cos(theta),
        )
    torch.testing.assert_close(from_spherical(edges), torch.tensor(expected, dtype=torch.float64))


def test_spherical_coordinates_are_inverted():
    positions = torch.randn(200, 16, 3, generator=_generator()).double()
    positions -= positions[:, :1].clone()
    edges = to_spherical(positions)
    torch.testing.assert_close(from_spherical(edges), positions, rtol=0, atol=1e-9)
    assert (edges[..., 0] >= 0).all()
    assert ((edges[..., 1] >= 0) & (edges[..., 1] <= math.pi)).all()
    # Nodes in one place have no direction, and no NaN.
    assert (to_spherical(torch.zeros(1, 16, 3)) == 0).all()


@pytest.mark.parametrize("rotation", ROTATIONS.values(), ids=ROTATIONS)
def test_rotations_keep_lengths_and_hands(rotation):
    matrices = rotation(500, _generator())
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3).expand(500, 3, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(500), rtol=0, atol=1e-5)


def test_any_rotation_has_no_favourite():
    """Of uniform rotations each entry has mean 0 and variance 1/3, and a fixed turn changes nothing of it."""
    matrices = any_rotation(200_000, _generator())
    assert matrices.mean(dim=0).abs().max() < 0.01
    assert (matrices.var(dim=0) - 1 / 3).abs().max() < 0.01
    # The angle's mean is pi/2 + 2/pi (the density is (1 - cos) / pi).
    angles = ((matrices.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2).clip(-1, 1).acos()
    assert abs(float(angles.mean()) - (math.pi / 2 + 2 / math.pi)) < 0.01


def test_poses_are_of_animals():
    """The longest edge is 1, sides are alike, paws are below the withers, left is left."""
    generator = PoseGenerator(any_rotation, ANY_LENGTH)
    lengths, directions = generator.upright(4000, _generator())
    assert (lengths.amax(dim=1) == 1).all()
    for left, right in EDGE_PAIRS:
        assert torch.equal(lengths[:, left], lengths[:, right])
    edges = torch.cat([lengths[..., None], to_spherical(_positions(lengths, directions))[..., 1:]], dim=-1)
    positions = from_spherical(edges)
    node = {name: positions[:, number] for number, name in enumerate(NODES)}
    for limb in ("L_F_Paw", "R_F_Paw", "L_B_Paw", "R_B_Paw"):
        parent = "Withers" if "_F_" in limb else "TailBase"
        assert (node[limb][:, 2] < node[parent][:, 2]).float().mean() > 0.99
    # The mean of a side: single joints may cross to the other.
    for part in ("F_Elbow", "B_Elbow"):
        assert (node[f"L_{part}"][:, 0] >= node[f"R_{part}"][:, 0]).float().mean() > 0.99
    # It faces -y.
    assert (node["TailBase"][:, 1] > node["Throat"][:, 1]).all()


def _positions(lengths, directions):
    from lynx_pose.lifting.skeleton3d import node_positions

    return node_positions(lengths[..., None] * directions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Tail": (0.0, 1.0)}, r"poses.lengths: .*Tail must be B_Elbow, B_Knee"),
        ({"Nose": (0.5, 0.2)}, r"poses.lengths.Nose=\[0.5, 0.2\]: must be a shortest and a longest length"),
    ],
)
def test_lengths_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        PoseGenerator(any_rotation, ANY_LENGTH | changes)


def test_lengths_are_drawn_within_their_ranges():
    """Before the longest becomes 1, so the ratio of two edges tells."""
    lengths, _ = PoseGenerator(any_rotation, ANY_LENGTH | {"Nose": (0.2, 0.4), "TailBase": (1.0, 1.0)}).upright(
        4000, _generator()
    )
    ratio = lengths[:, 0] / lengths[:, 2]
    assert 0.2 <= float(ratio.min()) < 0.21
    assert 0.39 < float(ratio.max()) <= 0.4001


def test_what_is_seen_is_the_turned_pose_without_its_depth():
    poses = PoseGenerator(CameraTrapRotation(), ANY_LENGTH)(50, _generator(3))
    torch.testing.assert_close(poses.points, poses.positions[..., [0, 2]])
    again = PoseGenerator(CameraTrapRotation(), ANY_LENGTH)(50, _generator(3))
    assert torch.equal(again.points, poses.points)
    assert not torch.equal(PoseGenerator(CameraTrapRotation(), ANY_LENGTH)(50, _generator(4)).points, poses.points)


def test_synthetic_cats_stand_within_the_ranges_or_near():
    """The ranges were made for animals, not for our cats: at least 90 % of their edges lie within 15 degrees."""
    import numpy as np

    from lynx_pose.data.skeleton import ANIMAL_POSE_20
    from lynx_pose.data.synthetic.body import sample_pose
    from lynx_pose.lifting.lifter import node_indices
    from lynx_pose.lifting.pose_generator import EITHER_WAY, RANGES

    rng = np.random.default_rng(0)
    nodes = node_indices(ANIMAL_POSE_20.names)
    # From forward, left, up to left, back, up.
    bodies = np.array([sample_pose(rng).keypoints[nodes] for _ in range(300)])[..., [1, 0, 2]] * [1, -1, 1]
    angles = to_spherical(torch.from_numpy(bodies))[..., 1:].rad2deg()
    inside = []
    for edge, (_, child) in enumerate(EDGES):
        (low, high), (left, right) = RANGES[NODES[child]]
        theta, phi = angles[:, edge].unbind(-1)
        phi = phi.abs() if NODES[child] in EITHER_WAY else phi
        wrapped = (phi - (left + right) / 2 + 180) % 360 - 180
        # Near the poles an azimuth says little.
        tolerance = 15 / theta.deg2rad().sin().clip(min=0.1)
        inside.append((theta > low - 15) & (theta < high + 15) & (wrapped.abs() < (right - left) / 2 + tolerance))
    assert torch.stack(inside).float().mean() > 0.9
