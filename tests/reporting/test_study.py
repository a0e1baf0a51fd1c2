"""The comparison of groups on runs whose true difference is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t, trim_mean, ttest_rel
from small_datasets import lynx_pose_content, write_lynx_pose
from written_runs import write_run

from lynx_pose.reporting.run_results import find_runs
from lynx_pose.reporting.study import (
    Comparison,
    compare_groups,
    corrected,
    findings,
    paired_difference,
    spreads,
    study_table,
)
from lynx_pose.reporting.validation_poses import read_validation

SPREADS = {"flip": 6.0, "geometric": 4.0, "color": 1.5, "noise": 6.0}


def _poses(content, spread, rng):
    poses = []
    for number, annotation in enumerate(content["annotations"]):
        points = np.array(list(annotation["keypoints"].values()))
        points = points + rng.normal(0, spread, points.shape) * rng.uniform(0.5, 2)
        rows = np.column_stack([points, rng.uniform(0.5, 1, 20)])
        poses.append({"instance": str(number), "keypoints": rows.ravel().tolist()})
    return poses


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Four groups, five seeds: color is better than flip, noise is not."""
    folder = tmp_path_factory.mktemp("study")
    content = lynx_pose_content(40)
    data = write_lynx_pose(folder / "data", content)
    rng = np.random.default_rng(0)
    for group, spread in SPREADS.items():
        for seed in range(5):
            run = write_run(folder / "sweep" / f"{group}-{seed}", data, "tiny", group, 0.0, 1, more=[f"seed={seed}"])
            (run / "predictions.json").write_text(json.dumps(_poses(content, spread, rng)))
    runs = find_runs([folder / "sweep"])
    validation = read_validation(runs)
    for run in runs:
        ap = validation[run].coco_metrics(validation.annotations.skeleton.sigmas)["AP"]
        run.summary["best"]["AP"] = ap
        run.folder.summary.write_text(json.dumps(run.summary))
    return folder / "sweep"


@pytest.fixture(scope="module")
def compared(sweep):
    runs = find_runs([sweep])
    return runs, compare_groups(runs, read_validation(runs))


def test_what_differs_is_found_and_what_does_not_is_not(compared):
    found = {(one.group, one.reference): one for one in compared[1]}
    assert set(found) == {
        ("geometric", "flip"), ("color", "flip"), ("noise", "flip"),
        ("flip", "geometric"), ("color", "geometric"), ("noise", "geometric"),
    }  # fmt: skip  # pairs as they belong together, a row each
    color, noise = found["color", "flip"], found["noise", "flip"]
    assert color.supported
    assert color.improvement == 1.0
    assert not noise.supported
    assert noise.low < 0 < noise.high
    assert found["flip", "geometric"].difference == pytest.approx(-found["geometric", "flip"].difference)


def test_differences_and_intervals_are_of_the_runs(compared):
    runs, comparisons = compared
    for one in comparisons:
        means = [np.mean([run.best["AP"] for run in runs if run.augmentation == g]) for g in (one.group, one.reference)]
        assert one.difference == pytest.approx(means[0] - means[1])
        assert one.low < one.difference < one.high
        assert one.seeds == 5


def test_the_interval_is_that_of_a_paired_t_test_where_images_are_certain(compared):
    """And wider by the images' part, which a bootstrap by hand gives, with COCO's evaluator on each resample."""
    runs, comparisons = compared
    validation = read_validation(runs)
    sigmas = validation.annotations.skeleton.sigmas
    color, flip = ([run for run in runs if run.augmentation == group] for group in ("color", "flip"))
    differences = np.array([ours.best["AP"] - theirs.best["AP"] for ours, theirs in zip(color, flip, strict=True)])
    expected = ttest_rel([run.best["AP"] for run in color], [run.best["AP"] for run in flip])
    mean, low, high, p_value = paired_difference(differences, 0.0)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert p_value == pytest.approx(expected.pvalue)
    rng = np.random.default_rng(1)
    gains = []
    for _ in range(40):
        animals = rng.integers(40, size=40)
        ap = [[_ap(validation[run], animals, sigmas) for run in group] for group in (color, flip)]
        gains.append(np.mean(ap[0]) - np.mean(ap[1]))
    one = next(one for one in comparisons if (one.group, one.reference) == ("color", "flip"))
    assert one.difference == pytest.approx(mean)
    error = np.sqrt(differences.var(ddof=1) / 5 + np.var(gains))
    assert (one.high - one.low) / 2 == pytest.approx(t.ppf(0.975, 4) * error, rel=0.3)


def _ap(poses, animals, sigmas):
    records = [replace(poses.records[i], image_id=f"{poses.records[i].image_id} {n}") for n, i in enumerate(animals)]
    parts = (poses.keypoints[animals], poses.scores[animals], poses.areas[animals])
    return type(poses)(records, *parts).coco_metrics(sigmas)["AP"]


def test_all_comparisons_of_a_report_are_corrected_for_together():
    """Holm: the smallest p of m counts m times, the next m − 1 times, and none less than one before it."""
    p_values = [0.01, 0.001, 0.2, None, 0.04]
    given = [Comparison("row", str(n), "flip", 3, 0.1, 0.0, 0.2, p, 0.5) for n, p in enumerate(p_values)]
    assert [one.p_value for one in corrected(given)] == [pytest.approx(0.03), pytest.approx(0.004), 0.2, None, 0.08]


@pytest.mark.parametrize(("groups", "seeds"), [(1, 2), (10, 2), (4, 3), (10, 5)])
def test_groups_that_do_not_differ_are_rarely_called_different(groups, seeds):
    """The family-wise error of simulated studies; benchmarks/study_errors.py has more of them."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(600):
        ap, favour = rng.normal(0, 0.004, (groups + 1, seeds)), rng.normal(0, 0.004, (groups + 1, 1))
        differences = (ap + favour)[1:] - (ap + favour)[0]
        estimates = [paired_difference(one, 2 * 0.004**2) for one in differences]
        given = [Comparison("row", str(n), "flip", seeds, *one, 0.5) for n, one in enumerate(estimates)]
        found += any(one.supported for one in corrected(given))
    assert found / 600 <= 0.06


def test_spreads_are_over_seeds(compared):
    runs, _ = compared
    for one in spreads(runs):
        values = [run.best["AP"] for run in runs if run.augmentation == one.group]
        assert one.mean == pytest.approx(np.mean(values))
        assert one.deviation == pytest.approx(np.std(values, ddof=1))
        assert one.interquartile_mean == pytest.approx(np.mean(sorted(values)[1:4]))
        assert one.interquartile_mean == pytest.approx(trim_mean(values, 0.25))


def test_words_say_what_is_supported(compared):
    runs, comparisons = compared
    sentences = findings(comparisons)
    assert len(sentences) == 2
    assert "the data support that" in sentences[0]
    assert "aug=color is better than aug=flip by" in sentences[0]
    assert "no difference from aug=flip is supported for" in sentences[0]
    assert "noise" in sentences[0].split("no difference")[1]
    table = study_table(runs, comparisons)
    assert [row.name for row in table.rows] == [f"tiny, {group}" for group in sorted(SPREADS)]


def test_one_seed_supports_nothing(sweep):
    runs = [run for run in find_runs([sweep]) if run.seed == 0]
    comparisons = compare_groups(runs, read_validation(runs))
    assert not any(one.supported for one in comparisons)
    assert {(one.low, one.high, one.p_value) for one in comparisons} == {(None, None, None)}
    table = study_table(runs, comparisons)
    assert all([cell.text for cell in row.cells].count("–") >= 4 for row in table.rows)
    assert "with one seed" in findings(comparisons)[0]


def test_without_a_reference_nothing_is_compared(sweep):
    runs = [run for run in find_runs([sweep]) if run.augmentation in ("color", "noise")]
    assert compare_groups(runs, read_validation(runs)) == []
    assert study_table(runs, []) is None
