"""Errors in three dimensions against slow and obvious ones."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.errors import InputError
from lynx_pose.metrics.pose3d import MPJPE, PCK3D, AlignedMPJPE, AreaUnderPCK3D, DepthError, procrustes
from lynx_pose.metrics.validation_metric import Poses

ROOT = 7


def _poses(error=0.08, seed=0, count=6):
    """Poses of animals whose true points, in metres, are known; predictions are off by normal errors in metres."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 0.3, (count, 20, 3))
    points -= points[:, ROOT, None]
    per_metre = rng.uniform(80, 300, count)
    visible = rng.random((count, 20)) > 0.3
    records = [
        SimpleNamespace(points=points[n], pixels_per_metre=per_metre[n], visible=visible[n], source=f"record {n}")
        for n in range(count)
    ]
    found = points + rng.normal(0, error, points.shape) + rng.normal(0, 1, (count, 1, 3))
    pixels = found * per_metre[:, None, None]
    return Poses(records, pixels[..., :2], np.ones((count, 20)), np.ones(count), pixels[..., 2]), points, found, visible


def test_errors_are_those_of_each_joint():
    poses, points, found, visible = _poses()
    distances = np.zeros((6, 20))
    for animal in range(6):
        for joint in range(20):
            moved = found[animal, joint] - found[animal, ROOT]
            distances[animal, joint] = 1000 * np.sqrt(((moved - points[animal, joint]) ** 2).sum())
    assert MPJPE()(poses, ANIMAL_POSE_20) == pytest.approx(distances.mean())
    assert MPJPE(labelled=True)(poses, ANIMAL_POSE_20) == pytest.approx(distances[visible].mean())
    assert PCK3D(threshold=150)(poses, ANIMAL_POSE_20) == pytest.approx((distances < 150).mean())
    curve = [(distances < threshold).mean() for threshold in range(0, 151, 5)]
    assert AreaUnderPCK3D()(poses, ANIMAL_POSE_20) == pytest.approx(sum(curve) / 31)
    depth = 1000 * np.abs(found[..., 2] - found[:, ROOT, None, 2] - points[..., 2])
    assert DepthError()(poses, ANIMAL_POSE_20) == pytest.approx(depth.mean())


def test_turned_scaled_and_moved_poses_have_no_aligned_error():
    """A mirror image has."""
    poses, points, *_ = _poses()
    turned = 2.5 * points @ Rotation.from_euler("xyz", [30, 40, 50], degrees=True).as_matrix().T + [1, 2, 3]
    for changed, exact in ((turned, True), (points * [1, 1, -1], False)):
        per_metre = np.array([record.pixels_per_metre for record in poses.records])[:, None, None]
        pixels = changed * per_metre
        moved = Poses(poses.records, pixels[..., :2], poses.scores, poses.areas, pixels[..., 2])
        error = AlignedMPJPE()(moved, ANIMAL_POSE_20)
        assert (error < 1e-6) if exact else (error > 100)


def test_no_turn_fits_better_than_procrustes():
    """Against scipy's rotation and the best scale for it, and against turns near by."""
    rng = np.random.default_rng(1)
    points, goal = rng.normal(size=(2, 20, 3))
    centred, wanted = points - points.mean(axis=0), goal - goal.mean(axis=0)
    turn = Rotation.align_vectors(wanted, centred)[0]
    turned = turn.apply(centred)
    expected = (turned * wanted).sum() / (centred**2).sum() * turned + goal.mean(axis=0)
    np.testing.assert_allclose(procrustes(points, goal), expected, atol=1e-9)


def test_what_has_no_third_dimension_is_refused():
    poses, *_ = _poses()
    flat = Poses(poses.records, poses.keypoints, poses.scores, poses.areas)
    with pytest.raises(InputError, match="need a head that finds depth"):
        MPJPE()(flat, ANIMAL_POSE_20)
    with pytest.raises(InputError, match="told from Withers"):
        MPJPE()(poses, Skeleton(("snout", "tail"), (), (), (), (), mirrorable=False))
    poses.records[2].points = None
    with pytest.raises(InputError, match="record 2: has no third dimension"):
        MPJPE()(poses, ANIMAL_POSE_20)
