"""Animal-Pose as MMPose and as its authors publish it."""

import json
from collections import Counter

import cv2
import numpy as np
import pytest

from lynx_pose.data.readers import animal_pose
from lynx_pose.data.readers.animal_pose import AUTHORS_NAMES
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError


def _animal_pose(folder, species=("dog", "cat")):
    """Write a few animals as MMPose and as the authors of Animal-Pose publish them, and return the COCO content."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    names = ANIMAL_POSE_20.names
    images, annotations, own = [], [], []
    for number in range(6):
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), np.full((80, 90, 3), 30 * number, np.uint8))
        images.append({"id": number, "file_name": f"{number}.jpg", "width": 90, "height": 80})
        points = np.column_stack([rng.uniform(10, 60, (20, 2)).round(1), 2 * (rng.random(20) < 0.8)])
        points[points[:, 2] == 0] = 0
        box = [5.0, 6.0, 70.0, 60.0]
        common = {"image_id": number, "category_id": number % 2 + 1}
        annotations.append({"id": number, "bbox": box, "keypoints": points.ravel().tolist(), "area": 4200.0, **common})
        shown = {name: [*point[:2], float(point[2] > 0)] for name, point in zip(AUTHORS_NAMES, points, strict=True)}
        order = [*sorted(AUTHORS_NAMES)]
        own.append({"bbox": [5.0, 6.0, 75.0, 66.0], "keypoints": [shown[name] for name in order], **common})
    categories = [{"id": 1 + number, "name": name} for number, name in enumerate(species)]
    coco = {"images": images, "annotations": annotations}
    coco["categories"] = [one | {"keypoints": list(names), "skeleton": [[1, 2]]} for one in categories]
    for side, part in (("train", [0, 1, 2, 3]), ("val", [4, 5])):
        content = coco | {key: [coco[key][index] for index in part] for key in ("images", "annotations")}
        (folder / f"{side}.json").write_text(json.dumps(content))
    described = [one | {"keypoints": order, "skeleton": [[0, 1]]} for one in categories]
    authors = {"images": {str(one["id"]): one["file_name"] for one in images}, "annotations": own}
    (folder / "keypoints.json").write_text(json.dumps(authors | {"categories": described}))
    return authors | {"categories": described}


def test_animal_pose_in_both_of_its_forms(tmp_path):
    """The authors' order, corners and missing sizes give the same animals as MMPose's files, on the same sides."""
    _animal_pose(tmp_path)
    published = animal_pose.read(str(tmp_path), "train.json", "val.json")
    own = animal_pose.read(str(tmp_path), "keypoints.json", "val.json")
    assert published.skeleton == own.skeleton == ANIMAL_POSE_20
    assert [record.species for record in own.records] == ["dog", "cat"] * 3
    for one, other in zip(published.records, own.records, strict=True):
        assert (one.id, one.species, one.image_size, one.subsets) == (
            other.id,
            other.species,
            other.image_size,
            other.subsets,
        )
        np.testing.assert_array_equal(one.keypoints, other.keypoints)
        np.testing.assert_array_equal(one.visible, other.visible)
        np.testing.assert_array_equal(one.box, other.box)
    assert len(animal_pose.read(str(tmp_path), "keypoints.json", None).records) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["categories"][0]["keypoints"].__setitem__(0, "tail_tip"), "keypoints of dog are tail_tip"),
        (lambda c: c["annotations"][1].update(category_id=7), r"annotations\[1\]: has category 7"),
        (lambda c: c["annotations"][1]["keypoints"].pop(), r"annotations\[1\]: has category 2 and 19 keypoints"),
        (lambda c: c["annotations"][1].update(image_id=70), r"annotations\[1\]: image_id 70"),
        (lambda c: c["images"].update({"1": "gone.jpg"}), r"images\[1\]: image not found"),
        (lambda c: c["images"].update({"1": "../keypoints.json"}), r"images\[1\]: .* leaves the folder"),
        (lambda c: c["images"].update(one="1.jpg"), r"images\[one\]: .*number"),
    ],
)
def test_the_authors_file_with_a_fault(tmp_path, change, message):
    content = _animal_pose(tmp_path)
    change(content)
    (tmp_path / "keypoints.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        animal_pose.read(str(tmp_path), "keypoints.json", None)


def test_bad_records_of_the_authors_file_are_skipped_and_counted(tmp_path):
    """An image that is gone, with its animal, and an animal with a keypoint too few."""
    content = _animal_pose(tmp_path)
    content["images"]["1"] = "gone.jpg"
    content["annotations"][3]["keypoints"].pop()
    (tmp_path / "keypoints.json").write_text(json.dumps(content))
    annotations = animal_pose.read(str(tmp_path), "keypoints.json", None, on_error="skip")
    assert [record.id for record in annotations.records] == ["train:0", "train:2", "train:4", "train:5"]
    assert annotations.skipped["bad records"] == 3


def test_real_animals_of_five_species(animalpose):
    annotations = animal_pose.read(str(animalpose), "annotations/train.json", "annotations/val.json")
    counts = Counter((record.subsets["file"], record.species) for record in annotations.records)
    raw = {side: json.loads((animalpose / "annotations" / f"{side}.json").read_text()) for side in ("train", "val")}
    names = {one["id"]: one["name"] for one in raw["val"]["categories"]}
    assert counts == Counter(
        (side, names[one["category_id"]])
        for side, content in raw.items()
        for one in content["annotations"]
        if any(one["keypoints"][2::3])
    )
