"""Prediction without boxes: from a photograph of any size to animals in its pixels, and the whole way by command."""

import csv
import json

import cv2
import numpy as np
import pytest
from commandline import QUICK, run

from lynx_pose.data.crop import CropConvention
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.prediction.batching import BatchPredictor
from lynx_pose.prediction.box_sources import WholeImageBoxes
from lynx_pose.prediction.demo_page import predict_upload
from lynx_pose.prediction.media import find_media
from lynx_pose.prediction.photograph_estimator import PhotographEstimator
from lynx_pose.prediction.tracking import track_animals

CROWD = ["data.images=4", "data.animals=[2,2]"]


class _Painted:
    """Finds an animal at each red spot, keypoint k being k pixels right of its middle; sure of half of them."""

    skeleton = ANIMAL_POSE_20
    input_size = (160, 120)
    crop_convention = CropConvention.CLASSIC

    def __call__(self, crops):
        assert crops.shape[1:] == (120, 160, 3)
        places = [_middles((crop[..., 0] > 150) & (crop[..., 1] < 100)) for crop in crops]
        most = max(len(of_crop) for of_crop in places)
        keypoints, scores = np.full((len(crops), most, 20, 2), np.nan), np.zeros((len(crops), most, 20))
        for number, of_crop in enumerate(places):
            for animal, (row, column) in enumerate(of_crop):
                keypoints[number, animal] = np.column_stack([column + np.arange(20), np.full(20, row)])
                scores[number, animal] = np.where(np.arange(20) < 10, 0.9, 0.1)
        return keypoints, scores


def _middles(mask):
    """Return row and column [N, 2] of the middles of connected spots, from left to right."""
    spots = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[3][1:]
    return spots[np.argsort(spots[:, 0])][:, ::-1]


def _photograph(size, *spots):
    """Return a grey image of (width, height) with red squares, which are one pixel of the network's input."""
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    for x, y, side in spots:
        image[y : y + side, x : x + side] = (255, 0, 0)
    return image


def test_animals_are_in_the_photographs_own_pixels():
    estimator = PhotographEstimator(_Painted(), batch_size=2)
    # Scaled by a quarter, and by a half with a margin above and below.
    photographs = [_photograph((640, 480), (100, 200, 4), (400, 80, 4)), _photograph((320, 160), (60, 40, 2))]
    empty = _photograph((100, 100))
    found = list(estimator.poses([estimator.crops(image) for image in [*photographs, empty]]))
    assert [len(poses) for poses in found] == [2, 1, 0]
    first = found[0].keypoints[np.argsort(found[0].keypoints[:, 0, 0])]
    np.testing.assert_allclose(first[:, 0], [[100, 200], [400, 80]], atol=4)
    np.testing.assert_allclose(first[:, 19] - first[:, 0], [[76, 0], [76, 0]], atol=1e-6)
    np.testing.assert_allclose(found[1].keypoints[0, 0], [60, 40], atol=2)
    # Around the sure half, at least a pixel high.
    assert found[1].boxes[0, 2:] == pytest.approx([18, 1])
    assert found[2].keypoints.shape == (0, 20, 2)
    assert len(estimator.predict(photographs[0])) == 2


def test_animals_keep_their_numbers_through_a_video_without_boxes(tmp_path):
    """One goes right and one left, until they have changed places; another comes in the middle."""
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 480))
    for frame in range(20):
        spots = [(100 + 15 * frame, 100, 24), (400 - 15 * frame, 300, 24)]
        spots += [(500, 420, 24)] if frame >= 10 else []
        writer.write(_photograph((640, 480), *spots)[..., ::-1])
    writer.release()
    predictor = BatchPredictor(PhotographEstimator(_Painted()), find_media(str(tmp_path)), WholeImageBoxes(), 1)
    (found,) = predictor(["video.avi"])
    tracked = track_animals(found, ANIMAL_POSE_20, 0.3)
    assert [len(animals) for animals in tracked.frames] == [2] * 10 + [3] * 10
    rows = {}
    for animals in tracked.frames:
        for animal in animals:
            rows.setdefault(animal.track, set()).add(round(animal.keypoints[0][1] / 100))
    # Each stays in the row that it was in.
    assert sorted(map(sorted, rows.values())) == [[1], [3], [4]]


@pytest.fixture(scope="module")
def crowd_run(tmp_path_factory):
    """A run that has hardly learnt anything, on four drawn photographs of two animals."""
    folder = tmp_path_factory.mktemp("crowd")
    run(
        *("train", *QUICK, "model=personlab", "aug=none", "model.input_size=[96,64]", "model.epochs=2"),
        *(*CROWD, "data.split=shared", f"data.root={folder / 'data'}"),
        *("flip_test=true", f"hydra.run.dir={folder / 'run'}"),
        cwd=folder,
    )
    return folder


def test_the_way_from_training_to_poses_without_boxes(crowd_run):
    """Whatever a network finds, its files are of one mind."""
    rows = list(csv.DictReader((crowd_run / "run" / "metrics.csv").open()))
    assert {"val/AP", "val/found", "val/false_alarms"} <= set(rows[-1])
    results = json.loads((crowd_run / "run" / "predictions.json").read_text())
    named = [result["instance"] for result in results if result["instance"]]
    assert len(named) == len(set(named)) == len(json.loads((crowd_run / "run" / "split.json").read_text())["val"])
    evaluated = run("evaluate", "run=run", "detail.resamples=100", cwd=crowd_run).stderr
    assert "false_alarms" in evaluated
    images = next((crowd_run / "data").glob("synthetic-*"))
    run("predict", "run=run", f"images={images}", "boxes=none", "output=found", "draw=true", cwd=crowd_run)
    lines = [json.loads(line) for line in (crowd_run / "found" / "poses.jsonl").read_text().splitlines()]
    poses = list(csv.DictReader((crowd_run / "found" / "poses.csv").open()))
    assert len(lines) == 4
    assert len(poses) == sum(len(line["frames"][0]) for line in lines)
    assert len(list((crowd_run / "found" / "drawn").rglob("*.jpg"))) == 4


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            [
                "train",
                *QUICK,
                "model=personlab",
                "aug=none",
                "data.images=4",
                "data.animals=[2,2]",
                "data.train_animals=1",
            ],
            "it would be taught as background",
        ),
        (["train", *QUICK, "model=personlab", "aug=geometric", *CROWD], "add aug/half_body=none"),
        (["predict", "run=run", "images=data", "output=with"], "boxes=image: this network finds the animals"),
        (["predict", "images=data", "boxes=none", "output=without"], "boxes=none: this network sees one animal a box"),
        (["export", "run=run"], "steps that an ONNX file cannot hold"),
    ],
)
def test_what_does_not_go_together_is_refused(crowd_run, command, message):
    process = run(*command, cwd=crowd_run, check=False)
    assert process.returncode == 1
    assert message in process.stderr + process.stdout


def test_the_page_shows_all_animals_and_says_when_there_is_none(tmp_path):
    estimator = PhotographEstimator(_Painted())
    for name, spots in (("two", [(100, 200, 4), (400, 80, 4)]), ("none", [])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), _photograph((640, 480), *spots)[..., ::-1])
    html, rows, *_ = predict_upload(estimator, str(tmp_path / "two.png"), "", 20.0)
    assert html.count("stroke-dasharray") == 2
    assert len(rows) == 20
    with pytest.raises(InputError, match="no animal was found"):
        predict_upload(estimator, str(tmp_path / "none.png"), "", 20.0)
