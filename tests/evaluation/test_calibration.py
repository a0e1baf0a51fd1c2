"""Isotonic regression of errors, held against a slow computation and known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lynx_pose.evaluation.calibration import Calibration, Curve
from lynx_pose.evaluation.reliability import held_out_errors, reliability


def _slow_fit(errors):
    """The decreasing fit by its minimax formula: the lowest of all highest means of runs around a place."""
    count = len(errors)
    mean = [[np.mean(errors[a : b + 1]) if a <= b else None for b in range(count)] for a in range(count)]
    return [min(max(mean[a][b] for b in range(i, count)) for a in range(i + 1)) for i in range(count)]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12))
def test_a_curve_is_the_decreasing_fit_of_least_squares(errors):
    confidences = np.arange(len(errors), dtype=float)
    curve = Curve.fit(confidences, np.array(errors))
    np.testing.assert_allclose(curve(confidences), _slow_fit(errors), atol=1e-9)


def test_equal_confidences_count_by_their_number():
    curve = Curve.fit(np.array([0.1, 0.1, 0.1, 0.9]), np.array([4.0, 5.0, 6.0, 9.0]))
    np.testing.assert_allclose(curve(np.array([0.1, 0.9])), 6.0)


def test_a_known_meaning_is_found_and_is_reliable():
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0, 1, (2000, 2))
    truth = np.stack([10 * (1 - confidences[:, 0]), 4 * (1 - confidences[:, 1]) ** 2], axis=1)
    errors = truth * rng.exponential(1, truth.shape)
    visible = rng.uniform(size=truth.shape) < 0.9
    calibration = Calibration.fit(confidences, errors, visible)
    assert np.abs(calibration(confidences) - truth).mean() < 0.4
    expected = held_out_errors(confidences, errors, visible)
    for predicted, observed, count in reliability(expected[visible], errors[visible]):
        assert observed == pytest.approx(predicted, rel=0.25, abs=0.2)
        assert count == pytest.approx(visible.sum() / 10, abs=1)
    again = Calibration.from_dict(calibration.to_dict(["a", "b"]))
    np.testing.assert_array_equal(again(confidences), calibration(confidences))


def test_a_keypoint_that_is_hardly_ever_seen_shares_the_others_curve():
    rng = np.random.default_rng(0)
    confidences, errors = rng.uniform(size=(100, 2)), np.full((100, 2), 3.0)
    visible = np.ones((100, 2), bool)
    visible[5:, 1] = False
    errors[:, 1] = 50
    calibration = Calibration.fit(confidences, errors, visible)
    assert calibration(np.array([0.5, 0.5]))[1] < 10
