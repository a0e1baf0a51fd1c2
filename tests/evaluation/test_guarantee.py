"""Radii that hold, measured on animals that no part of the fit has seen."""

from dataclasses import replace

import numpy as np
import pytest

from lynx_pose.errors import InputError
from lynx_pose.evaluation.calibration import part_numbers
from lynx_pose.evaluation.guarantee import Guarantee, KeypointErrors, held_out_coverage, upper_quantile


def _animals(count, rng, alike=1):
    """Confidences, errors and what is visible; the errors of `alike` animals in a row are of one size."""
    confidences = rng.uniform(0, 1, (count, 3))
    size = np.repeat(rng.gamma(2, 1, -(-count // alike)), alike)[:count, None]
    spread = np.array([1.0, 4.0, 9.0]) * (1.2 - confidences) * size
    return KeypointErrors(confidences, spread * rng.exponential(1, (count, 3)), rng.random((count, 3)) < 0.8)


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_coverage_is_that_which_is_promised(level):
    """Over many fits, by keypoint, on fresh animals."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(40):
        guarantee = Guarantee.fit(_animals(300, rng), level)
        fresh = _animals(500, rng)
        within = np.where(fresh.visible, fresh.errors <= guarantee(fresh.confidences), np.nan)
        inside.append(np.nanmean(within, axis=0))
    coverage = np.mean(inside, axis=0)
    assert (coverage >= level - 0.02).all()
    assert (coverage <= level + 0.04).all()


def test_the_coverage_that_it_reports_is_that_of_fresh_animals():
    rng = np.random.default_rng(1)
    reported = [held_out_coverage(_animals(300, rng), 0.9)["all"] for _ in range(10)]
    assert np.mean(reported) == pytest.approx(0.9, abs=0.02)


def test_a_sure_keypoint_has_a_smaller_radius():
    rng = np.random.default_rng(2)
    guarantee = Guarantee.fit(_animals(2000, rng), 0.9)
    low, high = guarantee(np.full((1, 3), 0.1))[0], guarantee(np.full((1, 3), 0.9))[0]
    assert (high < 0.6 * low).all()
    assert (np.diff(high) > 0).all()


def test_what_belongs_together_is_in_one_part():
    names = [f"burst {number // 7}" for number in range(100)]
    first = part_numbers(100, 2, names) == 0
    assert all(len({side for name, side in zip(names, first, strict=True) if name == one}) == 1 for one in set(names))
    assert 30 < first.sum() < 70
    rng = np.random.default_rng(3)
    bursts = [str(number // 7) for number in range(700)]
    values = replace(_animals(700, rng, alike=7), clusters=bursts)
    assert held_out_coverage(values, 0.9)["all"] == pytest.approx(0.9, abs=0.05)


def _lights(count, rng):
    """Animals by night, whose errors are three times as large at the same confidence, and two at dusk."""
    found = _animals(count, rng)
    light = np.array(["dusk", "dusk", *rng.choice(["day", "night"], count - 2, p=[0.8, 0.2])])
    return replace(found, errors=np.where(light == "night", 3, 1)[:, None] * found.errors, groups=light.tolist())


def _share_within(found, guarantee, group):
    return (found.errors <= guarantee(found.confidences, group))[found.visible].mean()


def test_in_each_group_it_is_as_promised():
    """Over many fits, on fresh animals: without groups those by night would be promised too much."""
    rng = np.random.default_rng(5)
    shares, without = [], []
    for _ in range(40):
        fitted = Guarantee.fit(_lights(600, rng), 0.9, by="light")
        assert set(fitted.group_factors) == {"day", "night"}
        fresh = _lights(600, rng)
        by_night, by_day = (fresh.subset(np.array(fresh.groups) == name) for name in ("night", "day"))
        shares += [_share_within(by_night, fitted, "night"), _share_within(by_day, fitted, "day")]
        without.append(_share_within(by_night, fitted, "dusk"))
    assert np.mean(shares[::2]) == pytest.approx(0.9, abs=0.02)
    assert np.mean(shares[1::2]) == pytest.approx(0.9, abs=0.02)
    assert np.mean(without) < 0.75
    assert set(held_out_coverage(replace(_lights(2000, rng), groups=None), 0.9)) == {"all"}
    reported = held_out_coverage(_lights(2000, rng), 0.9)
    assert reported["night"] == pytest.approx(0.9, abs=0.03)
    assert set(reported) == {"all", "day", "dusk", "night"}


def test_it_is_read_as_it_was_written():
    rng = np.random.default_rng(4)
    found = _lights(600, rng)
    guarantee = Guarantee.fit(found, 0.9, by="light")
    again = Guarantee.from_dict(guarantee.to_dict(["a", "b", "c"]))
    assert again.by == "light"
    for group in ("day", "night", None):
        np.testing.assert_array_equal(again(found.confidences, group), guarantee(found.confidences, group))


@pytest.mark.parametrize(("count", "level", "message"), [(200, 1.5, "must lie between"), (4, 0.99, "too few")])
def test_what_cannot_be_promised_is_refused(count, level, message):
    with pytest.raises(InputError, match=message):
        Guarantee.fit(_animals(count, np.random.default_rng(0)), level)


def test_the_quantile_by_hand():
    assert upper_quantile(np.arange(1.0, 11.0), 0.9) == 10
    assert upper_quantile(np.arange(1.0, 10.0), 0.9) == 9
    assert upper_quantile(np.arange(1.0, 9.0), 0.9) == np.inf
