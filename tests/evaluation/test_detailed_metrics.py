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
from lynx_pose.evaluation.group_metrics import group_metrics
from lynx_pose.metrics.average_precision import THRESHOLDS, mean_share_above
from lynx_pose.metrics.object_scale import annotated_area, box_area, polygon_area
from lynx_pose.metrics.sides import SideShare, compare_sides
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
    by_side = {
        name: [r for r in poses.records if r.box[2] == side]
        for name, side in (("small", 60), ("medium", 250), ("large", 1000))
    }
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


def test_metrics_by_species_are_those_of_its_animals_alone(poses):
    species = ["cat" if number % 3 else "dog" for number in range(40)]
    metrics = group_metrics(poses, species, ANIMAL_POSE_20, 50)
    assert list(metrics) == ["all", "cat", "dog"]
    for name, group in metrics.items():
        rows = [number for number in range(40) if name in ("all", species[number])]
        part = poses.subset(np.isin(np.arange(40), rows))
        assert group["animals"] == group["images"] == len(rows)
        assert group["AP"]["value"] == pytest.approx(part.coco_metrics(ANIMAL_POSE_20.sigmas)["AP"], abs=1e-6)
        errors = [
            (part.distances[row, column], max(part.records[row].box[2:]))
            for row, column in zip(*np.nonzero(part.visible), strict=True)
        ]
        assert group["PCK@0.10"]["value"] == pytest.approx(np.mean([error <= 0.1 * side for error, side in errors]))
        median = np.quantile([error for error, _ in errors], 0.5, method="inverted_cdf")
        assert group["median_error_px"]["value"] == pytest.approx(median)
        for estimate in (group["AP"], group["PCK@0.05"], group["median_error_px"]):
            assert estimate["low"] <= estimate["value"] <= estimate["high"]


def test_a_group_that_is_one_of_what_is_drawn_has_no_interval(poses):
    """A place, where the intervals are over places, says nothing of others."""
    places = [f"trap {number % 4}" for number in range(40)]
    by_place = group_metrics(poses, places, ANIMAL_POSE_20, 50, places)
    assert by_place["trap 1"]["clusters"] == 1
    part = poses.subset(np.array([place == "trap 1" for place in places]))
    found = by_place["trap 1"]["AP"]
    assert found == {"value": pytest.approx(part.coco_metrics(ANIMAL_POSE_20.sigmas)["AP"]), "low": None, "high": None}
    assert by_place["all"]["AP"]["low"] < by_place["all"]["AP"]["high"]


def test_an_interval_over_images_is_about_that_of_fresh_samples(poses):
    """Beside the spread of PCK over many fresh sets of as many images, each image with its own share of hits."""
    rng = np.random.default_rng(0)
    shares = rng.beta(2, 2, (400, 40))
    wanted = np.std([np.mean(row) for row in shares])
    records = [replace(record, visible=np.ones(20, bool)) for record in poses.records]
    sides = np.array([max(record.box[2:]) for record in records])
    hits = np.arange(20)[None] < (20 * shares[0])[:, None]
    offset = np.where(hits, 0.01, 0.5)[..., None] * sides[:, None, None] * np.array([1.0, 0.0])
    moved = Poses(records, poses.truth + offset, poses.scores, poses.areas)
    found = group_metrics(moved, [None] * 40, ANIMAL_POSE_20, 1000)["all"]["PCK@0.05"]
    assert (found["high"] - found["low"]) / (2 * 1.96) == pytest.approx(wanted, rel=0.25)


def test_sides_that_are_exchanged_or_in_one_place(poses):
    """Animals whose left and right are predicted right, exchanged, both in the middle, and not annotated."""
    pairs = np.array(ANIMAL_POSE_20.pairs)
    records = [replace(record, visible=np.ones(20, bool)) for record in poses.records[:4]]
    for record in records:
        record.keypoints[pairs[:, 0]] = record.box[:2]
        record.keypoints[pairs[:, 1]] = record.box[:2] + record.box[2:] / 2
    records[3] = replace(records[3], visible=np.arange(20) < 8)
    found = np.array([record.keypoints for record in records])
    found[1] = found[1][ANIMAL_POSE_20.flip_indices]
    found[2, pairs.ravel()] = records[2].box[:2] + records[2].box[2:] / 4
    sides = compare_sides(Poses(records, found, np.ones((4, 20)), box_area(records)), ANIMAL_POSE_20)
    assert sides.judged[:3].all()
    assert sides.judged[3].tolist() == [True, True, *[False] * 6]
    assert [row.all() for row in sides.exchanged] == [False, True, False, False]
    assert [row.all() for row in sides.collapsed] == [False, False, True, False]
    assert sides.shares()["judged"] == 26
    assert sides.shares()["collapsed"] == pytest.approx(8 / 26)
    as_metric = SideShare("exchanged")(Poses(records, found, np.ones((4, 20)), box_area(records)), ANIMAL_POSE_20)
    assert as_metric == sides.shares()["exchanged"]
    none = replace(sides, judged=np.zeros_like(sides.judged))
    assert none.shares() == {"judged": 0, "exchanged": None, "collapsed": None}


def test_intervals_over_bursts_hold_where_those_over_images_do_not():
    """Bursts of eight images that are hit or missed alike: coverage of the true PCK by nominal 95 % intervals."""
    rng = np.random.default_rng(0)
    covered = {"images": 0, "bursts": 0}
    studies, bursts, true_share = 60, 24, 0.5
    box = np.array([100.0, 100.0, 100.0, 80.0])
    for _ in range(studies):
        hit = np.repeat(rng.random(bursts) < true_share, 8)
        records = [
            replace(
                _record(number, rng, 100), image_id=number, image_size=(640, 480), box=box, visible=np.ones(20, bool)
            )
            for number in range(8 * bursts)
        ]
        truth = np.array([record.keypoints for record in records])
        poses = Poses(
            records, truth + np.where(hit, 0.0, 30.0)[:, None, None], np.ones((len(hit), 20)), box_area(records)
        )
        names = [str(number // 8) for number in range(8 * bursts)]
        for what, clusters in (("images", None), ("bursts", names)):
            found = group_metrics(poses, [None] * len(names), ANIMAL_POSE_20, 200, clusters)["all"]["PCK@0.10"]
            covered[what] += found["low"] <= true_share <= found["high"]
    assert covered["images"] / studies < 0.7
    assert covered["bursts"] / studies > 0.85


def test_the_worst_group_of_each_field_is_named(poses, detail):
    places = ["wood" if number < 15 else "field" if number < 36 else "brook" for number in range(40)]
    records = [replace(record, place=place) for record, place in zip(poses.records, places, strict=True)]
    # In the wood the network is far off.
    off = np.array([place == "wood" for place in places])[:, None, None] * 100.0
    found = detail(Poses(records, poses.keypoints + off, poses.scores, poses.areas), ANIMAL_POSE_20, records)
    assert found["by_group"]["place"]["worst"] == "wood"
    assert set(found["by_group"]["place"]["groups"]) == {"wood", "field"}
    assert found["by_group"]["place"]["too_small"] == 4
    assert "identity" not in found["by_group"]
    assert set(found["AP_by_object_scale"]) == {"annotated", "box", "polygon"}
    assert found["AP_by_object_scale"]["box"] > found["AP_by_object_scale"]["polygon"]
    assert found["by_keypoint"]["Nose"]["annotated"] == sum(record.visible[4] for record in records)


def test_hidden_keypoints_have_figures_of_their_own(poses, detail):
    hidden = np.arange(20) < 5
    records = [replace(record, occluded=record.visible & hidden) for record in poses.records]
    found = np.array([record.keypoints for record in records]) + hidden[:, None] * 1000.0
    figures = detail(replace(poses, records=records, keypoints=found), ANIMAL_POSE_20, records)["by_visibility"]
    assert figures["visible"]["PCK@0.05"] == 1
    assert figures["occluded"]["PCK@0.05"] == 0
    annotated = sum(record.visible.sum() for record in records)
    assert figures["visible"]["annotated"] + figures["occluded"]["annotated"] == annotated


def test_a_group_that_records_do_not_have_is_named():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("evaluate", overrides=["run=x", "detail.groups=[colour]"])
    with pytest.raises(InputError, match="there is no field 'colour'"):
        instantiate(cfg.detail)
