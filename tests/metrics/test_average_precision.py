import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.formats.coco import ground_truth, pose_score
from lynx_pose.metrics.average_precision import NAMES, coco_keypoint_metrics
from lynx_pose.metrics.object_scale import annotated_area
from lynx_pose.metrics.validation_metric import Poses, ValidationLoss, ValidationMetric

SIGMAS = ANIMAL_POSE_20.sigmas


def test_equals_the_reference(reference):
    folder = reference("coco_ap")
    truth, results, expected = (
        json.loads((folder / f"small_{name}.json").read_text()) for name in ("gt", "dt", "stats")
    )
    figures = coco_keypoint_metrics(truth, results, SIGMAS)
    for name, value in zip(NAMES, expected, strict=True):
        if value < 0:
            assert np.isnan(figures[name])
        else:
            assert figures[name] == pytest.approx(value, abs=1e-9)


def _records(count, rng):
    records = []
    for number in range(count):
        box = np.array([*rng.uniform(0, 300, 2), *rng.uniform(80, 400, 2)])
        records.append(
            PoseRecord(
                id=str(number),
                image_id=f"images/{number // 2}",
                image_path=Path("x.jpg"),
                image_size=(800, 800),
                box=box,
                keypoints=rng.uniform(box[:2], box[:2] + box[2:], (20, 2)),
                visible=rng.random(20) < 0.8,
                area=float(box[2] * box[3]),
                source="",
            )
        )
    return records


def _predictions(records, rng, spread):
    keypoints = np.array([record.keypoints for record in records])
    keypoints = keypoints + rng.normal(0, spread, keypoints.shape) * rng.uniform(0.2, 3, (len(records), 1, 1))
    return torch.from_numpy(keypoints), torch.from_numpy(rng.uniform(0, 1, keypoints.shape[:2]))


@pytest.fixture
def records():
    return _records(41, np.random.default_rng(0))


def _by_pycocotools(records, keypoints, scores):
    """The same figures by another library, from results built one number at a time."""
    images = [int(record.image_id.split("/")[1]) for record in records]
    results = []
    for image, points, confidences in zip(images, keypoints.tolist(), scores.tolist(), strict=True):
        kept = [value for value in confidences if value > 0.2]
        flat = [value for (x, y), confidence in zip(points, confidences, strict=True) for value in (x, y, confidence)]
        score = sum(kept) / len(kept) if kept else 0.0
        results.append({"image_id": image, "category_id": 1, "keypoints": flat, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = ground_truth(records, images, annotated_area(records))
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(SIGMAS)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_the_metric_equals_pycocotools(records):
    keypoints, scores = _predictions(records, np.random.default_rng(1), 8)
    metric = ValidationMetric(records, ANIMAL_POSE_20)
    for part in torch.arange(41).split(7):
        metric.update(part, keypoints[part], scores[part])
    figures = metric.compute()
    stats = _by_pycocotools(records, keypoints, scores)
    for name, place in (("AP", 0), ("AP50", 1), ("AP75", 2), ("AR", 5)):
        assert figures[name] == pytest.approx(stats[place], abs=1e-12)
    assert 0.1 < figures["AP"] < 0.9


def test_distances_are_those_of_visible_keypoints(records):
    keypoints, scores = _predictions(records, np.random.default_rng(1), 8)
    metric = ValidationMetric(records, ANIMAL_POSE_20)
    metric.update(torch.arange(41), keypoints, scores)
    figures = metric.compute()
    distances = [
        float(np.hypot(*(keypoints[n, k].numpy() - record.keypoints[k])))
        for n, record in enumerate(records)
        for k in range(20)
        if record.visible[k]
    ]
    assert figures["mean_error_px"] == pytest.approx(np.mean(distances))
    assert figures["median_error_px"] == pytest.approx(np.median(distances))


@pytest.mark.parametrize("processes", [2, 3])
def test_figures_do_not_depend_on_the_number_of_processes(records, processes):
    """Shares that overlap, as padded samplers make them, merged as torchmetrics merges them."""
    keypoints, scores = _predictions(records, np.random.default_rng(1), 8)
    alone = ValidationMetric(records, ANIMAL_POSE_20)
    alone.update(torch.arange(41), keypoints, scores)
    merged = ValidationMetric(records, ANIMAL_POSE_20)
    for rank in range(processes):
        share = torch.cat([torch.arange(41)[rank::processes], torch.tensor([0, 1])])
        merged.update(share, keypoints[share], scores[share])
    assert merged.compute() == alone.compute()
    assert len(merged.results()) == 41


def test_results_carry_the_datasets_own_ids(records):
    keypoints, scores = _predictions(records, np.random.default_rng(1), 8)
    metric = ValidationMetric(records, ANIMAL_POSE_20)
    metric.update(torch.arange(41), keypoints, scores)
    metric.compute()
    last = metric.results()[-1]
    assert (last["image_id"], last["instance"]) == ("images/20", "40")
    np.testing.assert_allclose(np.reshape(last["keypoints"], (20, 3))[:, :2], keypoints[40])


def test_what_cannot_be_computed_says_why(records):
    truth = ground_truth(records, list(range(41)), annotated_area(records))
    result = {"image_id": 0, "category_id": 1, "keypoints": [float("nan")] * 60, "score": 1.0}
    with pytest.raises(ValueError, match="not a single prediction"):
        coco_keypoint_metrics(truth, [], SIGMAS)
    with pytest.raises(ValueError, match="not finite"):
        coco_keypoint_metrics(truth, [result], SIGMAS)
    for annotation in truth["annotations"]:
        annotation["num_keypoints"] = 0
    with pytest.raises(ValueError, match="no animal of the ground truth"):
        coco_keypoint_metrics(truth, [result], SIGMAS)


def test_a_poses_score_leaves_out_doubtful_keypoints():
    assert pose_score(np.array([0.9, 0.5, 0.1])) == pytest.approx(0.7)
    assert pose_score(np.array([0.1, 0.2])) == 0.0


def test_the_loss_counts_each_record_once():
    """Batches of unlike sizes, one of them seen by two processes, whose states are joined."""
    batches = [([0, 1, 2], 1.0), ([3], 5.0), ([3], 5.0)]
    metric = ValidationLoss()
    for index, loss in batches:
        metric.update(torch.tensor(index), torch.tensor(loss))
    assert metric.compute() == pytest.approx((3 * 1.0 + 5.0) / 4)


def test_without_scores_that_rank_the_order_of_the_records_decides_nothing():
    """As of heads that give coordinates alone: AP is its mean over orders, whatever order the files have."""
    rng = np.random.default_rng(1)
    records = _records(60, rng)
    truth = np.array([record.keypoints for record in records])
    found = truth + rng.normal(0, 1, truth.shape) * rng.uniform(1, 30, (60, 1, 1))
    poses = Poses(records, found, np.ones((60, 20)), annotated_area(records))
    assert not poses.ranked
    good_first = np.argsort(-poses.oks(SIGMAS))
    by_order = []
    for order in (good_first, good_first[::-1]):
        again = Poses([records[n] for n in order], found[order], np.ones((60, 20)), poses.areas[order])
        by_order.append(again.coco_metrics(SIGMAS)["AP"])
    assert by_order[0] == pytest.approx(by_order[1], abs=0.02)
    # Slowly: scores that say the order, for many orders.
    slow = [replace(poses, scores=rng.permuted(np.linspace(0.3, 1, 60))[:, None] * np.ones(20)) for _ in range(100)]
    assert all(one.ranked for one in slow)
    assert np.mean([one.coco_metrics(SIGMAS)["AP"] for one in slow]) == pytest.approx(by_order[0], abs=0.02)
    ranked = [
        replace(poses, scores=np.linspace(0.3, 1, 60)[order.argsort()][:, None] * np.ones(20))
        for order in (good_first, good_first[::-1])
    ]
    extremes = [one.coco_metrics(SIGMAS)["AP"] for one in ranked]
    assert extremes[0] + 0.02 < by_order[0] < extremes[1] - 0.02
    assert poses.coco_metrics(SIGMAS)["AR"] == pytest.approx(slow[0].coco_metrics(SIGMAS)["AR"])
