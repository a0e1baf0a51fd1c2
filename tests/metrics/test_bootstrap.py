"""AP of resamples against COCO's evaluator on images that are really repeated."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.metrics.bootstrap import match_poses, resampled_ap
from lynx_pose.metrics.object_scale import box_area
from lynx_pose.metrics.validation_metric import Poses

SIGMAS = ANIMAL_POSE_20.sigmas


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(5)
    records = []
    for number in range(30):
        box = np.array([*rng.uniform(0, 300, 2), *rng.uniform(80, 400, 2)])
        keypoints = rng.uniform(box[:2], box[:2] + box[2:], (20, 2))
        # Every third image has two animals.
        image = number if number % 3 else max(0, number - 1)
        records.append(
            PoseRecord(
                id=str(number),
                image_id=f"p{image}",
                image_path=Path("x"),
                image_size=(800, 800),
                box=box,
                keypoints=keypoints,
                visible=rng.random(20) < 0.8,
                area=1.0,
                source="",
            )
        )
    truth = np.array([record.keypoints for record in records])
    predicted = truth + rng.normal(0, 1, truth.shape) * rng.uniform(1, 40, (30, 1, 1))
    return Poses(records, predicted, rng.uniform(0.1, 1, (30, 20)), box_area(records))


def _repeated(poses, counts):
    """The same poses with each image as often as it is counted, under names of its own."""
    images = list(dict.fromkeys(record.image_id for record in poses.records))
    parts = []
    for image, count in zip(images, counts, strict=True):
        chosen = np.array([record.image_id == image for record in poses.records])
        for copy in range(count):
            part = poses.subset(chosen)
            parts.append(replace(part, records=[replace(r, image_id=f"{image}-{copy}") for r in part.records]))
    return Poses(
        [record for part in parts for record in part.records],
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("keypoints", "scores", "areas")),
    )


def test_every_image_once_is_cocos_ap(poses):
    matches = match_poses(poses, SIGMAS)
    found = resampled_ap(matches, np.ones((1, len(matches.animals)), dtype=int))
    assert found[0] == pytest.approx(poses.coco_metrics(SIGMAS)["AP"], abs=1e-9)


def test_resamples_are_cocos_ap_of_repeated_images(poses):
    matches = match_poses(poses, SIGMAS)
    rng = np.random.default_rng(0)
    images = len(matches.animals)
    counts = rng.multinomial(images, np.full(images, 1 / images), size=6)
    expected = [_repeated(poses, row).coco_metrics(SIGMAS)["AP"] for row in counts]
    np.testing.assert_allclose(resampled_ap(matches, counts), expected, atol=1e-9)
    assert np.ptp(expected) > 0.01
