"""Annotations that can be read and cannot be meant are said, once a kind, and refused where most are so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.plausibility import check_plausible, implausible
from lynx_pose.data.readers import animal_pose, coco_keypoints, lynx_pose_raw
from lynx_pose.errors import InputError


def _record(number=0):
    rng = np.random.default_rng(number)
    box = np.array([*rng.uniform(20, 200, 2), *rng.uniform(150, 400, 2)])
    return PoseRecord(
        id=str(number),
        image_id=number,
        image_path=Path(f"{number}.jpg"),
        image_size=(640, 480),
        box=box,
        keypoints=rng.uniform(box[:2], np.minimum(box[:2] + box[2:], (639, 479)), (20, 2)),
        visible=rng.random(20) < 0.7,
        area=float(box[2] * box[3]),
        source=f"a.json: annotations[{number}]",
    )


def _as_corners(record):
    x, y, width, height = record.box
    return replace(record, box=np.array([x, y, x + width, y + height]))


FAULTS = {
    "between 0 and 1": lambda r: replace(r, keypoints=r.keypoints / (640, 480), box=r.box / (640, 480, 640, 480)),
    "corners": lambda r: _as_corners(replace(r, box=np.array([300.0, 250.0, 250, 200]), keypoints=_between(300, 250))),
    "x and y exchanged": lambda r: replace(r, box=np.array([10.0, 300.0, 100, 100]), keypoints=_between(310, 15)),
    "far from its keypoints": lambda r: replace(r, box=np.array([500.0, 400.0, 40, 40]), keypoints=_between(10, 10)),
    "in one place": lambda r: replace(r, keypoints=np.full((20, 2), 250.0), box=np.array([200.0, 200, 100, 100])),
    "more than twice the image": lambda r: replace(r, area=1e12),
}


def _between(x, y):
    return np.random.default_rng(1).uniform((x, y), (x + 80, y + 80), (20, 2))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_number_and_first_case(fault, caplog):
    records = [_record(number) for number in range(10)]
    records[3], records[7] = FAULTS[fault](records[3]), FAULTS[fault](records[7])
    check_plausible(records)
    assert len(caplog.records) == 1
    message = caplog.records[0].message
    assert message.startswith("2 of 10 animals: ")
    assert fault in message
    assert message.endswith(records[3].source)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_mostly_so_is_refused(fault):
    records = [_record(number) for number in range(10)]
    records[:6] = [FAULTS[fault](record) for record in records[:6]]
    with pytest.raises(InputError, match=rf"6 of 10 animals.*{fault}.*annotations\[0\]"):
        check_plausible(records)


def test_what_is_listed_twice(caplog):
    records = [_record(number) for number in range(10)]
    check_plausible([*records, replace(records[4], id="again")])
    assert "1 of 11 animals: the same image with the same keypoints again" in caplog.text


def test_animals_that_are_only_unusual_are_left_alone():
    assert not any(implausible(_record(number)) for number in range(300))
    seen_in_part = replace(_record(), box=np.array([-100.0, -50.0, 900, 700]))
    one_point = replace(_record(), visible=np.arange(20) == 3)
    assert implausible(seen_in_part) == implausible(one_point) == []


def test_no_real_dataset_is_suspected(animalpose, lynx3, openfield, caplog):
    files = [str(openfield / "annotations" / f"{side}.json") for side in ("train", "val")]
    folder = next(str(path) for path in (openfield / "images", openfield) if path.is_dir())
    for annotations in (
        animal_pose.read(str(animalpose), "annotations/train.json", "annotations/val.json"),
        lynx_pose_raw.read(str(lynx3)),
        coco_keypoints.read(files[0], folder, files[1], pairs=[]),
    ):
        check_plausible(annotations.records)
    assert caplog.records == []
