"""The figures of evaluation.json against slower ways to the same numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF, instantiate
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.metrics.average_precision import THRESHOLDS, mean_share_above
from lynx_pose.metrics.object_scale import annotated_area, box_area, polygon_area
from lynx_pose.metrics.validation_metric import Poses


def _record(number, rng, side):
    box = np.array([*rng.uniform(0, 300, 2), side, side * 0.8])
    return PoseRecord(
        id=str(number),
        image_id=number,
        image_path=Path("x.jpg"),
        image_size=[(640, 480), (2048, 1536), (5152, 3968)][number % 3],
        box=box,
        keypoints=rng.uniform(box[:2], box[:2] + box[2:], (20, 2)),
        visible=rng.random(20) < 0.8,
        area=123.0,
        source=f"file: annotations[{number}]",
        polygon=(0.0, 0.0, 10.0, 0.0, 10.0, 20.0, 0.0, 20.0),
    )


@pytest.fixture
def poses():
    rng = np.random.default_rng(3)
    records = [_record(number, rng, side) for number, side in enumerate(rng.choice([60, 250, 1000], 40))]
    truth = np.array([record.keypoints for record in records])
    spread = rng.uniform(0.005, 0.1, (40, 1, 1)) * np.array([record.box[2] for record in records])[:, None, None]
    areas = box_area(records)
    return Poses(records, truth + rng.normal(0, 1, truth.shape) * spread, rng.uniform(0.1, 1, (40, 20)), areas)


@pytest.fixture
def detail():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose("evaluate", overrides=["run=x"]).detail)


def test_equation_18_by_hand(poses):
    values = poses.oks(ANIMAL_POSE_20.sigmas)
    by_hand = np.mean([sum(value > threshold for value in values) / 40 for threshold in THRESHOLDS])
    assert mean_share_above(values) == pytest.approx(by_hand)
    # With one pose for each animal, COCO's average recall counts the same poses; AP ranks them by score.
    coco = poses.coco_metrics(ANIMAL_POSE_20.sigmas)
    assert mean_share_above(values) == pytest.approx(coco["AR"])
    assert coco["AP"] != pytest.approx(coco["AR"], abs=1e-4)


def test_sizes_are_the_datasets_own(poses, detail):
    found = detail(poses, ANIMAL_POSE_20, poses.records)["by_size"]
    assert found["limits_in_square_pixels"] == [20_000, 160_000]
    by_side = {name: [r for r in poses.records if r.box[2] == side] for name, side in
               (("small", 60), ("medium", 250), ("large", 1000))}  # fmt: skip
    for name, records in by_side.items():
        assert found[name]["animals"] == len(records)
        chosen = np.array([record in records for record in poses.records])
        assert found[name]["AP"] == poses.subset(chosen).coco_metrics(ANIMAL_POSE_20.sigmas)["AP"]


def test_every_figure_is_there(poses, detail):
    found = detail(poses, ANIMAL_POSE_20, poses.records)
    assert set(found["PCK"]) == {"pixels", "box", "PCKh", "PDJ", "withers_to_tail_base"}
    assert set(found["PCK"]["pixels"]["10"]["keypoints"]) == set(ANIMAL_POSE_20.names)
    assert len(found["PCP"]["limbs"]) == 20
    assert list(found["correct_predictions"]) == ["100", "200", "500"]
    assert found["OKS"]["reference_square_pixels"] == 2048 * 1536
    nonzero = [row["eq14"][0] for row in found["OKS"]["correction"]]
    assert nonzero == sorted(nonzero)


def test_a_skeleton_without_the_limb_goes_without_the_figure(poses, detail):
    other = replace(ANIMAL_POSE_20, names=tuple(f"point {number}" for number in range(20)))
    assert set(detail(poses, other, poses.records)["PCK"]) == {"pixels", "box"}


def test_scale_is_box_polygon_or_as_annotated(poses):
    assert (annotated_area(poses.records) == 123).all()
    assert (polygon_area(poses.records) == 200).all()
    assert box_area(poses.records)[0] == poses.records[0].box[2] * poses.records[0].box[3]
    without = replace(poses.records[0], polygon=())
    with pytest.raises(InputError, match=r"annotations\[0\]: has no polygon"):
        polygon_area([without])


@pytest.mark.parametrize("option", ["detail.pixels=[10,5]", "detail.size_limits=[0.2,0.025]", "detail.size_limits=[1]"])
def test_options_that_make_no_sense_are_named(option):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", overrides=["run=x", option])
    with pytest.raises(InputError, match=option.split("=")[0]):
        instantiate(cfg.detail)
