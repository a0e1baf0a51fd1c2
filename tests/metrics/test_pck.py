from pathlib import Path

import numpy as np
import pytest

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.metrics.pck import MeanPCK, check_thresholds, correct_predictions, limb_lengths, pck, pcp
from lynx_pose.metrics.validation_metric import Poses

RNG = np.random.default_rng(1)
DISTANCES = RNG.gamma(1.0, 60.0, (25, 6))
POINTS = RNG.uniform(0, 500, (25, 6, 2))
VISIBLE = RNG.random((25, 6)) < 0.7
VISIBLE[:, 1] = True
VISIBLE[:, 5] = False


@pytest.mark.parametrize("unit", [np.ones(25), RNG.uniform(50, 150, 25)])
def test_pck_by_hand(unit):
    unit = unit.copy()
    unit[3] = np.nan
    thresholds = [0.3, 1.0, 40.0]
    found = pck(DISTANCES, VISIBLE, unit, thresholds)
    for t, threshold in enumerate(thresholds):
        for k in range(6):
            near = [DISTANCES[n, k] < threshold * unit[n] for n in range(25) if VISIBLE[n, k] and n != 3]
            if near:
                assert found[t, k] == pytest.approx(sum(near) / len(near))
            else:
                assert np.isnan(found[t, k])


def test_a_threshold_is_not_reached_by_its_own_distance():
    assert pck(np.array([[5.0]]), np.array([[True]]), np.ones(1), [5.0, 5.1]).ravel().tolist() == [0.0, 1.0]


def test_limbs_without_both_ends_have_no_length():
    lengths = limb_lengths(POINTS, VISIBLE, (0, 2))
    for n in range(25):
        if VISIBLE[n, 0] and VISIBLE[n, 2]:
            assert lengths[n] == pytest.approx(np.hypot(*(POINTS[n, 0] - POINTS[n, 2])))
        else:
            assert np.isnan(lengths[n])


def test_pcp_by_hand():
    limbs = [(0, 1), (2, 3), (4, 5)]
    found = pcp(DISTANCES, POINTS, VISIBLE, limbs, 0.5)
    for number, (start, end) in enumerate(limbs):
        correct = []
        for n in range(25):
            if VISIBLE[n, start] and VISIBLE[n, end]:
                half = np.hypot(*(POINTS[n, start] - POINTS[n, end])) / 2
                correct.append(DISTANCES[n, start] < half and DISTANCES[n, end] < half)
        if correct:
            assert found[number] == pytest.approx(np.mean(correct))
        else:
            assert np.isnan(found[number])


def test_equation_12_by_hand():
    thresholds = list(range(1, 2001, 37))
    found = correct_predictions(DISTANCES, VISIBLE, thresholds)
    for threshold, value in zip(thresholds, found, strict=True):
        whole = [all(DISTANCES[n, k] < threshold for k in range(6) if VISIBLE[n, k]) for n in range(25)]
        assert value == pytest.approx(sum(whole) / 25)
    assert (np.diff(found) >= 0).all()
    assert found[-1] == 1


@pytest.mark.parametrize("thresholds", [[2, 1], [1, 1], [0, 1], [-1], [], [1, float("nan")]])
def test_thresholds_out_of_order_are_refused(thresholds):
    with pytest.raises(InputError, match=r"detail.pixels=.*increasing order"):
        check_thresholds("detail.pixels", thresholds)


def test_mean_pck_by_hand():
    """Within a tenth of the longer side of a box of 200 × 500 pixels; the mean over keypoints that are ever seen."""
    records = [
        PoseRecord(
            str(n), n, Path("image.jpg"), (900, 900), np.array([0.0, 0, 200, 500]), POINTS[n], VISIBLE[n], 1.0, ""
        )
        for n in range(25)
    ]
    poses = Poses(records, POINTS + DISTANCES[..., None] * [0.6, -0.8], np.ones((25, 6)), np.ones(25))
    seen = [(DISTANCES[VISIBLE[:, k], k] < 50).mean() for k in range(5)]
    assert MeanPCK(0.1)(poses, Skeleton(tuple("abcdef"), (), (), (), ())) == pytest.approx(np.mean(seen))
