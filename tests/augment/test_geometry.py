"""Geometric transforms against the thesis's numbers and the reference tool's distributions."""

from dataclasses import replace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from lynx_pose.augment import geometry, half_body
from lynx_pose.augment.geometry import View
from lynx_pose.config import CONF
from lynx_pose.data.crop import crop_box
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.training.build import build_augmentation


@pytest.fixture
def view():
    rng = np.random.default_rng(0)
    box = np.array([100.0, 50.0, 300.0, 150.0])
    return View(
        crop=crop_box(box, 1.0),
        box_size=box[2:],
        keypoints=rng.uniform((100, 50), (400, 200), (20, 2)),
        visible=np.ones(20, bool),
        occluded=np.arange(20) < 3,
        depth=np.arange(20.0),
        image_width=640,
    )


def _draws(transform, view, count=4000):
    return [transform(view, ANIMAL_POSE_20, np.random.default_rng(number)) for number in range(count)]


def test_flip_twice_is_nothing_and_sides_swap(view):
    once = geometry.Flip(1.0)(view, ANIMAL_POSE_20, np.random.default_rng(0))
    twice = geometry.Flip(1.0)(once, ANIMAL_POSE_20, np.random.default_rng(0))
    np.testing.assert_allclose(twice.keypoints, view.keypoints)
    np.testing.assert_array_equal(once.occluded, view.occluded[ANIMAL_POSE_20.flip_indices])
    # What was nearer to the camera still is, under the other side's name.
    np.testing.assert_array_equal(once.depth, view.depth[ANIMAL_POSE_20.flip_indices])
    np.testing.assert_allclose(twice.crop.center, view.crop.center)
    assert once.mirrored
    assert not twice.mirrored
    left, right = ANIMAL_POSE_20.pairs[3]
    assert once.keypoints[left, 0] == pytest.approx(639 - view.keypoints[right, 0])
    assert once.keypoints[left, 1] == pytest.approx(view.keypoints[right, 1])


def test_flip_swaps_visibility(view):
    visible = view.visible.copy()
    visible[ANIMAL_POSE_20.names.index("L_Eye")] = False
    mirrored = geometry.Flip(1.0)(replace(view, visible=visible), ANIMAL_POSE_20, np.random.default_rng(0))
    assert not mirrored.visible[ANIMAL_POSE_20.names.index("R_Eye")]
    assert mirrored.visible[ANIMAL_POSE_20.names.index("L_Eye")]


@pytest.mark.parametrize(("transform", "reach"), [(geometry.ShiftCrop, (60, 60)), (geometry.ShiftBox, (48, 24))])
def test_shift_moves_in_three_of_ten_by_up_to_its_factor(view, transform, reach):
    centers = np.array([drawn.crop.center for drawn in _draws(transform(0.16, 0.3), view)])
    moved = centers - view.crop.center
    share = (moved != 0).any(axis=1).mean()
    assert abs(share - 0.3) < 0.025
    np.testing.assert_allclose(np.abs(moved).max(axis=0), reach, rtol=0.02)


def test_the_tools_scale_piles_up_at_its_ends(view):
    sizes = np.array([drawn.crop.size[0] for drawn in _draws(geometry.NormalScale(0.5, 0.5, 1.5), view)])
    factors = sizes / view.crop.size[0]
    for end in (0.5, 1.5):
        assert abs((factors == end).mean() - 0.159) < 0.02
    assert abs(np.median(factors) - 1) < 0.03


def test_the_texts_scale_is_uniform(view):
    sizes = np.array([drawn.crop.size[0] for drawn in _draws(geometry.UniformScale(0.5, 1.5), view)])
    # An animal that is drawn larger fills more of the crop.
    factors = np.sort(view.crop.size[0] / sizes)
    np.testing.assert_allclose(np.quantile(factors, [0.1, 0.5, 0.9]), [0.6, 1.0, 1.4], atol=0.03)


def test_the_tools_rotation_is_absent_in_four_of_ten(view):
    angles = np.array([d.crop.rotation for d in _draws(geometry.NormalRotation(40, 80, 0.6), view)])
    assert abs((angles == 0).mean() - 0.4) < 0.03
    assert np.abs(angles).max() == 80
    assert abs(angles[np.abs(angles) < 79.9][angles[np.abs(angles) < 79.9] != 0].std() - 35) < 3


def test_the_texts_rotation_is_always_there(view):
    angles = np.array([d.crop.rotation for d in _draws(geometry.UniformRotation(80), view)])
    assert (angles != 0).all()
    np.testing.assert_allclose(np.quantile(angles, [0.25, 0.75]), [-40, 40], atol=3)


def _reference_half_body(view, rng_upper):
    """The reference implementation's half body, by its own order of questions."""
    upper = [view.keypoints[i] for i in range(20) if view.visible[i] and i in ANIMAL_POSE_20.upper]
    lower = [view.keypoints[i] for i in range(20) if view.visible[i] and i not in ANIMAL_POSE_20.upper]
    if rng_upper and len(upper) > 2:
        selected = upper
    elif len(lower) > 2:
        selected = lower
    else:
        selected = upper
    selected = np.array(selected)
    extent = selected.max(axis=0) - selected.min(axis=0)
    return selected.mean(axis=0), max(extent) * 1.5


@pytest.mark.parametrize("hidden", [(), (6, 10, 11, 14, 15), (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13)])
def test_half_body_crop_is_one_of_the_references_two(view, hidden):
    visible = view.visible.copy()
    visible[list(hidden)] = False
    view = replace(view, visible=visible)
    expected = [_reference_half_body(view, upper) for upper in (True, False)]
    transform = half_body.HalfBodyCrop(p=1.0, min_keypoints=1, upper_p=0.6915, padding=1.5)
    for drawn in _draws(transform, view, 40):
        matches = [
            np.allclose(drawn.crop.center, center) and np.allclose(drawn.crop.size, side) for center, side in expected
        ]
        assert any(matches)
        np.testing.assert_array_equal(drawn.visible, view.visible)


def test_half_body_of_too_few_points_changes_nothing(view):
    view = replace(view, visible=np.arange(20) >= 19)
    transform = half_body.HalfBodyCrop(p=1.0, min_keypoints=0, upper_p=0.5, padding=1.5)
    assert all(drawn is view for drawn in _draws(transform, view, 20))


def test_half_body_needs_more_than_eight_keypoints_and_prefers_the_upper_half(view):
    transform = half_body.HalfBodyCrop(p=1.0, min_keypoints=8, upper_p=0.6915, padding=1.5)
    few = replace(view, visible=np.arange(20) < 8)
    assert all(drawn.crop is few.crop for drawn in _draws(transform, few, 20))
    upper_center = view.keypoints[list(ANIMAL_POSE_20.upper)].mean(axis=0)
    share = np.mean([np.allclose(drawn.crop.center, upper_center) for drawn in _draws(transform, view)])
    assert abs(share - 0.6915) < 0.025


def test_half_body_of_the_text_hides_the_other_half(view):
    transform = half_body.HalfBodyHide(p=1.0, min_keypoints=8, upper_p=0.5)
    halves = {tuple(np.flatnonzero(drawn.visible)) for drawn in _draws(transform, view, 50)}
    assert halves == {tuple(sorted(ANIMAL_POSE_20.upper)), tuple(sorted(ANIMAL_POSE_20.lower))}


def test_the_configured_order_is_the_thesis_order():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for reading in ("mmpose", "thesis"):
            config = compose("train", overrides=["aug=color", f"aug/geometry={reading}"])
            names = [type(transform).__name__ for transform in build_augmentation(config).geometry]
            expected = {
                "mmpose": ["ShiftCrop", "Flip", "HalfBodyCrop", "NormalScale", "NormalRotation"],
                "thesis": ["ShiftBox", "Flip", "HalfBodyHide", "UniformScale", "UniformRotation"],
            }
            assert names == expected[reading]


def test_two_photometric_groups_see_the_same_crops(view):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        one, other = (build_augmentation(compose("train", overrides=[f"aug={name}"])) for name in ("blur", "noise"))
    for number in range(20):
        a, b = (augmentation.view(view, ANIMAL_POSE_20, (0, 3, number)) for augmentation in (one, other))
        np.testing.assert_array_equal(a.crop.center, b.crop.center)
        assert a.crop.rotation == b.crop.rotation


def test_nothing_is_mirrored_where_nobody_knows_what_swaps(view):
    skeleton = replace(ANIMAL_POSE_20, mirrorable=False)
    assert geometry.Flip(1.0)(view, skeleton, np.random.default_rng(0)) is view
