"""Model cards, against the run's own files and a slow bootstrap."""

import json

import numpy as np
from small_datasets import lynx_pose_content, write_lynx_pose
from written_runs import write_predictions, write_run

from lynx_pose.reporting.model_card import _intervals
from lynx_pose.reporting.report_page import write_report
from lynx_pose.reporting.run_results import find_runs
from lynx_pose.reporting.validation_poses import read_validation


def _sweep(tmp_path):
    content = lynx_pose_content(8)
    data = write_lynx_pose(tmp_path / "data", content)
    run = write_run(tmp_path / "sweep" / "0-hrnet-blur", data, "hrnet", "blur", 0.81, 3)
    write_predictions(run / "predictions.json", content, shift=3)
    write_run(tmp_path / "sweep" / "1-r50-blur", data, "r50", "blur", 0.5, 1, status="failed", changes={"best": {}})
    return tmp_path / "sweep", run


def test_a_finished_run_gets_a_card(tmp_path):
    sweep, run = _sweep(tmp_path)
    summary = json.loads((run / "summary.json").read_text())
    summary["data"]["leaks"] = {"identity": 0.75, "place": None, "sequence": 0.0}
    (run / "summary.json").write_text(json.dumps(summary))
    write_report([sweep])
    card = (run / "model_card.md").read_text()
    assert "75 % share their identity with one that is trained on" in card
    assert card.count("with one that is trained on") == 1
    for text in ("# Model card: hrnet-blur", "| AP | 0.8100 |", "4 animals to train on, 4 to validate on", "Licence"):
        assert text in " ".join(card.split()), text
    assert "| Withers |" in card
    assert "drawn images" not in card
    assert not (sweep / "1-r50-blur" / "model_card.md").exists()


def test_intervals_are_those_of_resampled_images(tmp_path):
    sweep, _ = _sweep(tmp_path)
    runs = find_runs([sweep])
    validation = read_validation(runs)
    poses = validation[runs[0]]
    low, high = _intervals(poses, validation)["error"]
    rng = np.random.default_rng(1)
    medians = []
    for _ in range(1000):
        rows = rng.integers(len(poses.records), size=len(poses.records))
        medians.append(np.median(np.concatenate([poses.distances[row][poses.visible[row]] for row in rows])))
    np.testing.assert_allclose([low, high], np.quantile(medians, [0.025, 0.975]), atol=0.1)
    sigmas = validation.annotations.skeleton.sigmas
    ap_low, ap_high = _intervals(poses, validation)["ap"]
    assert ap_low <= poses.coco_metrics(sigmas)["AP"] <= ap_high
