"""Misses and false alarms count: the metric of networks that find the animals by themselves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.metrics.photograph_metric import PhotographMetric
from lynx_pose.metrics.validation_metric import ValidationMetric

EMPTY = float("nan")


@pytest.fixture
def records():
    """Three photographs of one, two and one animals, whose records are not in the order of the photographs."""
    rng = np.random.default_rng(0)
    made = [
        PoseRecord(
            id=f"animal-{number}",
            image_id=f"photo-{image}",
            image_path=Path(f"photo-{image}.jpg"),
            image_size=(640, 480),
            box=np.array([100.0 * number, 50, 120, 90]),
            keypoints=rng.uniform((100.0 * number, 50), (100.0 * number + 120, 140), (20, 2)),
            visible=rng.random(20) < 0.8,
            area=120.0 * 90,
            source="test",
        )
        for number, image in enumerate([0, 1, 2, 1])
    ]
    return [replace(record, visible=record.visible | (np.arange(20) < 3)) for record in made]


def _updated(metric, photographs):
    """Add the poses and confidences of photographs, as many as each has."""
    most = max(len(poses) for poses in photographs)
    keypoints = torch.full((len(photographs), most, 20, 2), EMPTY)
    scores = torch.zeros(len(photographs), most, 20)
    for number, poses in enumerate(photographs):
        for place, (points, confidence) in enumerate(poses):
            keypoints[number, place] = torch.from_numpy(np.asarray(points))
            scores[number, place] = confidence
    metric.update(torch.arange(len(photographs)), keypoints, scores)
    return metric


def _near(record, seed, deviation=4.0):
    return record.keypoints + deviation * np.random.default_rng(seed).standard_normal((20, 2))


def test_with_every_animal_found_it_is_the_usual_metric(records):
    poses = [_near(record, number, 6.0) for number, record in enumerate(records)]
    scores = [0.9, 0.8, 0.7, 0.6]
    usual = ValidationMetric(records, ANIMAL_POSE_20)
    usual.update(
        torch.arange(4), torch.tensor(np.array(poses)).float(), torch.tensor(scores)[:, None].expand(4, 20).clone()
    )
    by_photograph = [[0], [3, 1], [2]]
    metric = _updated(
        PhotographMetric(records, ANIMAL_POSE_20),
        [[(poses[number], scores[number]) for number in numbers] for numbers in by_photograph],
    )
    found, expected = metric.compute(), usual.compute()
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert (found["found"], found["false_alarms"]) == (1, 0)
    assert list(metric.names) == list(found)
    assert [result["instance"] for result in metric.results()] == [record.id for record in records]


def test_misses_and_false_alarms(records):
    """One of two animals of a photograph is missed; another photograph has a pose too many, surer than all others."""
    exact = [record.keypoints for record in records]
    elsewhere = exact[2] + 300
    metric = _updated(
        PhotographMetric(records, ANIMAL_POSE_20),
        [[(exact[0], 0.9)], [(exact[3], 0.8)], [(elsewhere, 0.95), (exact[2], 0.7)]],
    )
    found = metric.compute()
    assert found["found"] == 3 / 4
    assert found["false_alarms"] == pytest.approx(1 / 3)
    # Precision after each pose, the surest first: 0/1, 1/2, 2/3, 3/4, at recalls of 0, 1/4, 1/2, 3/4; interpolated, it
    # is 3/4 up to a recall of 3/4, which 76 of COCO's 101 recalls reach.
    assert found["AP"] == pytest.approx(0.75 * 76 / 101)
    assert found["AR"] == pytest.approx(3 / 4)
    results = metric.results()
    assert [result["instance"] for result in results] == ["animal-0", "animal-1", "animal-2", "animal-3", None]
    assert set(np.reshape(results[1]["keypoints"], (20, 3)).flatten()) == {0.0}
    assert results[4]["image_id"] == "photo-2"
    np.testing.assert_allclose(metric.poses.keypoints[[0, 2, 3]], np.array(exact)[[0, 2, 3]], atol=1e-4)


def test_two_poses_of_one_animal_are_one_and_a_false_alarm(records):
    metric = _updated(
        PhotographMetric(records, ANIMAL_POSE_20),
        [[(_near(records[0], 1), 0.9), (records[0].keypoints, 0.5)], [], []],
    )
    found = metric.compute()
    assert found["false_alarms"] == pytest.approx(1 / 3)
    np.testing.assert_allclose(metric.poses.keypoints[0], records[0].keypoints, atol=1e-4)


def test_photographs_that_two_processes_saw_count_once(records):
    photographs = [[(_near(records[0], 1), 0.9)], [(_near(records[3], 2), 0.8)], []]
    once = _updated(PhotographMetric(records, ANIMAL_POSE_20), photographs)
    twice = _updated(_updated(PhotographMetric(records, ANIMAL_POSE_20), photographs), photographs)
    assert once.compute() == twice.compute()


def test_without_a_single_pose_nothing_is_found(records):
    metric = PhotographMetric(records, ANIMAL_POSE_20)
    metric.update(torch.arange(3), torch.zeros(3, 0, 20, 2), torch.zeros(3, 0, 20))
    found = metric.compute()
    assert (found["AP"], found["AR"], found["found"], found["false_alarms"]) == (0, 0, 0, 0)
