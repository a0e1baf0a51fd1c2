"""The comparison of groups on runs whose true difference is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import trim_mean
from small_datasets import lynx_pose_content, write_lynx_pose
from written_runs import write_run

from lynx_pose.reporting.run_results import find_runs
from lynx_pose.reporting.study import compare_groups, findings, spreads, study_table
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
    }  # fmt: skip
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


def test_the_interval_holds_what_a_bootstrap_by_hand_gives(compared):
    """Fewer resamples, COCO's own evaluator on each, and no shortcut."""
    runs, comparisons = compared
    validation = read_validation(runs)
    sigmas = validation.annotations.skeleton.sigmas
    own = {group: [run for run in runs if run.augmentation == group] for group in ("color", "flip")}
    rng = np.random.default_rng(1)
    gains = []
    for _ in range(40):
        animals, seeds = rng.integers(40, size=40), rng.integers(5, size=5)
        mean = {}
        for group in own:
            values = []
            for seed in seeds:
                poses = validation[own[group][seed]]
                records = [_renamed(poses.records[i], n) for n, i in enumerate(animals)]
                parts = (poses.keypoints[animals], poses.scores[animals], poses.areas[animals])
                values.append(type(poses)(records, *parts).coco_metrics(sigmas)["AP"])
            mean[group] = np.mean(values)
        gains.append(mean["color"] - mean["flip"])
    one = next(one for one in comparisons if (one.group, one.reference) == ("color", "flip"))
    assert np.mean(gains) == pytest.approx(one.difference, abs=0.02)
    assert np.std(gains) == pytest.approx((one.high - one.low) / 3.92, rel=0.35)


def _renamed(record, number):
    return replace(record, image_id=f"{record.image_id} {number}")


def test_many_groups_are_corrected_for(compared):
    """Holm: the smallest p of m counts m times, the next m − 1 times, and none less than one before it."""
    _, comparisons = compared
    p = sorted(one.p_value for one in comparisons if one.reference == "flip")
    assert p[0] >= 3 / 2001
    assert p == sorted(p)


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
    assert "with one seed" in findings(comparisons)[0]


def test_without_a_reference_nothing_is_compared(sweep):
    runs = [run for run in find_runs([sweep]) if run.augmentation in ("color", "noise")]
    assert compare_groups(runs, read_validation(runs)) == []
    assert study_table(runs, []) is None
