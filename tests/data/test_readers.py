import csv
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from small_datasets import lynx_pose_content, write_lynx_pose

from lynx_pose.data.readers import coco_keypoints, czechlynx, lynx_pose_raw
from lynx_pose.data.skeleton import ANIMAL_POSE_20, LYNX_POSE_NAMES, Skeleton
from lynx_pose.errors import InputError
from lynx_pose.metrics.object_scale import polygon_area


def test_lynx3_is_read_as_its_file_says(lynx3):
    annotations = lynx_pose_raw.read(str(lynx3))
    raw = json.loads((lynx3 / "metadata_cleaned.json").read_text())["annotations"]
    assert len(annotations.records) == 3
    for record, truth in zip(annotations.records, raw, strict=True):
        assert record.image_id == truth["image_id"]
        assert record.visible.sum() == len(truth["keypoints"])
        for name, point in truth["keypoints"].items():
            np.testing.assert_array_equal(record.keypoints[LYNX_POSE_NAMES.index(name)], point)
        assert record.orientation == truth["attributes"]["orientation"]
        assert record.identity is None


def test_annotations_without_a_pose_are_skipped_and_counted(tmp_path):
    content = lynx_pose_content(6)
    content["annotations"][1]["tag"] = "NOT_FOR_POSE"
    content["annotations"][2]["keypoints"] = {}
    del content["annotations"][3]["keypoints"]
    content["annotations"][4]["keypoints"]["nose"] = [500.0, 20.0]
    annotations = lynx_pose_raw.read(str(write_lynx_pose(tmp_path, content)))
    assert [record.id for record in annotations.records] == ["0", "4", "5"]
    assert annotations.skipped["annotations tagged NOT_FOR_POSE"] == 1
    assert annotations.skipped["annotations without a pose"] == 2
    assert annotations.skipped["keypoints outside their image"] == 1
    assert not annotations.records[1].visible[LYNX_POSE_NAMES.index("nose")]
    assert annotations.records[1].visible.sum() == 19


def _without(key):
    return lambda content: content.pop(key)


def _set(path, value):
    def change(content):
        target = content
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return change


BAD_LYNX = {
    "no images": (_without("images"), "no list 'images'"),
    "annotations are a mapping": (_set(["annotations"], {}), "no list 'annotations'"),
    "image without width": (lambda c: c["images"][0].pop("width"), r"images\[0\]: width: Field required"),
    "negative width": (_set(["images", 0, "width"], -5), r"images\[0\]: width"),
    "box of three": (_set(["annotations", 1, "bbox"], [1, 2, 3]), r"annotations\[1\]: bbox"),
    "box of words": (_set(["annotations", 1, "bbox"], ["a", 2, 3, 4]), r"annotations\[1\]: bbox.0"),
    "empty box": (_set(["annotations", 1, "bbox"], [10, 10, 0, 5]), r"annotations\[1\]: the box .* is empty"),
    "box outside": (
        _set(["annotations", 1, "bbox"], [400, 10, 20, 20]),
        r"annotations\[1\]: the box .* outside",
    ),
    "unknown image": (_set(["annotations", 1, "image_id"], "gone"), r"annotations\[1\]: image_id 'gone'"),
    "unknown keypoint": (
        _set(["annotations", 1, "keypoints", "wing"], [1, 2]),
        r"annotations\[1\]: keypoint name 'wing'",
    ),
    "coordinate is NaN": (
        _set(["annotations", 1, "keypoints", "nose"], [float("nan"), 2]),
        r"annotations\[1\]: keypoints.nose.0",
    ),
    "coordinate is text": (
        _set(["annotations", 1, "keypoints", "nose"], ["x", 2]),
        r"annotations\[1\]: keypoints.nose.0",
    ),
    "record is a number": (_set(["annotations", 1], 7), r"annotations\[1\]: record"),
    "all keypoints outside": (
        _set(["annotations", 1, "keypoints"], {"nose": [-5.0, 3.0]}),
        r"annotations\[1\]: none of its keypoints lies inside",
    ),
    "path climbs out": (_set(["images", 1, "id"], "../../secret"), "not among the file's images"),
}


@pytest.mark.parametrize("case", BAD_LYNX)
def test_a_bad_record_is_named(tmp_path, case):
    change, message = BAD_LYNX[case]
    content = lynx_pose_content(4)
    folder = write_lynx_pose(tmp_path / "data", content)
    change(content)
    (folder / "metadata_cleaned.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        lynx_pose_raw.read(str(folder))
    assert str(folder / "metadata_cleaned.json") in str(error.value)


def test_a_path_that_leaves_the_folder_is_refused(tmp_path):
    content = lynx_pose_content(2)
    folder = write_lynx_pose(tmp_path / "data", content)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    content["images"][0]["id"] = content["annotations"][0]["image_id"] = "../secret"
    (folder / "metadata_cleaned.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="leaves the folder"):
        lynx_pose_raw.read(str(folder))


def test_images_may_be_linked_from_another_disk(tmp_path):
    folder = write_lynx_pose(tmp_path / "data", lynx_pose_content(2))
    (folder / "Traps").rename(tmp_path / "elsewhere")
    (folder / "Traps").symlink_to(tmp_path / "elsewhere")
    assert len(lynx_pose_raw.read(str(folder)).records) == 2


def test_skip_drops_bad_records_and_keeps_the_others(tmp_path):
    content = lynx_pose_content(5)
    folder = write_lynx_pose(tmp_path, content)
    content["annotations"][1]["bbox"] = [0, 0, 0, 0]
    content["annotations"][3]["keypoints"]["wing"] = [1, 1]
    (folder / "metadata_cleaned.json").write_text(json.dumps(content))
    annotations = lynx_pose_raw.read(str(folder), on_error="skip")
    assert [record.id for record in annotations.records] == ["0", "2", "4"]
    assert annotations.skipped["bad records"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "holds a JSON list"),
        ("\xff\xfe".encode("latin-1"), "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_annotation_file(tmp_path, text, message):
    (tmp_path / "metadata_cleaned.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        lynx_pose_raw.read(str(tmp_path))


def test_missing_folder_file_and_image(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        lynx_pose_raw.read(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="no such file"):
        lynx_pose_raw.read(str(tmp_path))
    folder = write_lynx_pose(tmp_path, lynx_pose_content(2))
    (folder / "Traps" / "001.jpg").unlink()
    with pytest.raises(InputError, match=r"annotations\[1\]: image not found"):
        lynx_pose_raw.read(str(folder))


def test_nothing_left_says_why(tmp_path):
    content = lynx_pose_content(2)
    for annotation in content["annotations"]:
        annotation["tag"] = "NOT_FOR_POSE"
    with pytest.raises(InputError, match=r"no annotation with a pose is left .2 annotations tagged NOT_FOR_POSE"):
        lynx_pose_raw.read(str(write_lynx_pose(tmp_path, content)))


@pytest.mark.parametrize(
    ("name", "keypoints", "limbs", "pairs"),
    [
        ("ap10k", 17, 17, 7),
        ("animalpose", 20, 20, 8),
        ("atrw", 15, 14, 6),
        ("horse10", 22, 0, 0),
        ("macaque", 17, 19, 8),
    ],
)
def test_public_datasets_bring_their_skeletons(samples, name, keypoints, limbs, pairs):
    folder = samples / name
    annotations = coco_keypoints.read(str(folder / f"test_{name}.json"), str(folder))
    assert len(annotations.records) in (2, 3)
    assert len(annotations.skeleton) == keypoints
    assert len(annotations.skeleton.limbs) == limbs
    assert len(annotations.skeleton.pairs) == pairs
    assert all(record.visible.any() for record in annotations.records)
    expected = ANIMAL_POSE_20.sigmas if name == "animalpose" else (0.05,) * keypoints
    assert annotations.skeleton.with_sigmas(None, default=0.05).sigmas == expected


def test_coco_sides_become_a_split(openfield):
    folder = openfield / "annotations"
    annotations = coco_keypoints.read(str(folder / "train.json"), str(openfield / "images"), str(folder / "val.json"))
    sides = [record.subsets["file"] for record in annotations.records]
    assert (sides.count("train"), sides.count("val")) == (87, 29)
    assert annotations.skeleton.names == ("snout", "leftear", "rightear", "tailbase")
    assert annotations.skeleton.limbs == ((0, 1), (0, 2), (1, 3), (2, 3))


def _coco(openfield, tmp_path, change):
    content = json.loads((openfield / "annotations" / "val.json").read_text())
    change(content)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    return lambda **options: coco_keypoints.read(str(path), str(openfield / "images"), **options)


BAD_COCO = {
    "too few numbers": (
        _set(["annotations", 2, "keypoints"], [1, 2, 2]),
        r"annotations\[2\]: has 3 keypoint numbers",
    ),
    "same id twice": (
        _set(["annotations", 2, "id"], 10001),
        r"annotations\[2\]: the annotation id 10001 occurs twice",
    ),
    "no such image": (_set(["annotations", 2, "image_id"], 5), r"annotations\[2\]: image_id 5"),
    "no categories": (_without("categories"), "no list 'categories'"),
    "category without keypoints": (
        lambda content: content["categories"][0].update(keypoints=[], skeleton=[]),
        "different keypoint lists",
    ),
    "keypoints are text": (_set(["annotations", 2, "keypoints"], "abc"), r"annotations\[2\]: keypoints"),
}


@pytest.mark.parametrize("case", BAD_COCO)
def test_a_bad_coco_record_is_named(openfield, tmp_path, case):
    change, message = BAD_COCO[case]
    with pytest.raises(InputError, match=message):
        _coco(openfield, tmp_path, change)()


def test_what_a_coco_file_says_of_animal_and_image(openfield, tmp_path):
    """In the annotation, its attributes or its image, under names of one's own; and which points are hidden."""

    def tell(content):
        for number, annotation in enumerate(content["annotations"]):
            annotation["attributes"] = {"identity": f"mouse-{number % 3}", "orientation": "left"}
            annotation["eventID"] = number // 2
            annotation["keypoints"][2] = 1
        for image in content["images"]:
            image |= {"locationID": "cage", "timestamp": "2021-05-01T22:00:00"}

    fields = {"place": "locationID", "sequence": "eventID", "time": "timestamp"}
    records = _coco(openfield, tmp_path, tell)(fields=fields).records
    assert [record.identity for record in records[:4]] == ["mouse-0", "mouse-1", "mouse-2", "mouse-0"]
    assert [record.sequence for record in records[:4]] == ["0", "0", "1", "1"]
    assert {(record.place, record.time, record.orientation, record.light) for record in records} == {
        ("cage", "2021-05-01T22:00:00", "left", None)
    }
    occluded = np.array([record.occluded for record in records])
    assert occluded[:, 0].all()
    assert not occluded[:, 1:].any()
    with pytest.raises(InputError, match="there is no field 'plaice'; there are identity"):
        _coco(openfield, tmp_path, tell)(fields={"plaice": "x"})


def test_coco_options_are_checked_against_the_skeleton(openfield, tmp_path):
    read = _coco(openfield, tmp_path, lambda content: None)
    assert read(pairs=[["snout", "tailbase"]]).skeleton.pairs == ((0, 3),)
    assert read().skeleton.with_sigmas([0.1, 0.2, 0.3, 0.4], default=0.05).sigmas == (0.1, 0.2, 0.3, 0.4)
    with pytest.raises(InputError, match="4 keypoints but 2 OKS sigmas"):
        read().skeleton.with_sigmas([0.1, 0.2], default=0.05)
    with pytest.raises(InputError, match="'beak' is unknown"):
        read(upper=["beak"])


@pytest.fixture
def czech_rows(lynx3):
    """CzechLynx rows made from the three real images and their outlines."""
    content = json.loads((lynx3 / "metadata_cleaned.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    rows = []
    for number, annotation in enumerate(content["annotations"]):
        height, width = sizes[annotation["image_id"]]
        encoded = coco_mask.merge(coco_mask.frPyObjects([annotation["polygon"]], height, width))
        rows.append(
            {
                "path": f"{annotation['image_id']}.jpg",
                "unique_name": f"lynx_{number}",
                "coat_pattern": "spotted",
                "date": "02.12.2022",
                "trap_id": f"trap {number % 2}",
                "encounter": f"e{number}",
                "mask": json.dumps({"size": [height, width], "counts": encoded["counts"].decode()}),
                "pose": json.dumps(annotation["keypoints"]),
                "split-pose": ["train", "test", "train"][number],
                "split-geo_aware": ["test", "train", ""][number],
            }
        )
    return rows


def test_czechlynx_reads_pose_mask_and_its_own_splits(tmp_path, lynx3, czech_rows):
    folder = _copy_tree(tmp_path, lynx3, czech_rows)
    annotations = czechlynx.read(str(folder))
    by_hand = lynx_pose_raw.read(str(lynx3)).records
    for record, other in zip(annotations.records, by_hand, strict=True):
        np.testing.assert_array_equal(record.keypoints, other.keypoints)
        np.testing.assert_allclose(record.box, other.box, atol=2.5)
    assert [record.subsets.get("split-pose") for record in annotations.records] == ["train", "test", "train"]
    assert [record.subsets.get("split-geo_aware") for record in annotations.records] == ["test", "train", None]
    assert [(record.place, record.sequence, record.time) for record in annotations.records] == [
        (f"trap {number % 2}", f"e{number}", "02.12.2022") for number in range(3)
    ]
    # The outline of the mask, which was drawn from the polygon.
    np.testing.assert_allclose(polygon_area(annotations.records), polygon_area(by_hand), rtol=0.01)


def _copy_tree(tmp_path, lynx3, rows):
    folder = tmp_path / "czech"
    for row in rows:
        target = folder / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        source = lynx3 / row["path"]
        if source.is_file():
            target.write_bytes(source.read_bytes())
    with (folder / "CzechLynxDataset-Metadata-Real.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("pose", '{"wing": [1, 2]}', "line 3: keypoint name 'wing'"),
        ("pose", "{nose", "line 3: column 'pose' is not valid JSON"),
        ("pose", '{"nose": [1, "x"]}', "line 3: keypoints.nose.1"),
        ("mask", '{"size": [10, 10]}', "line 3: mask: counts"),
        ("mask", '{"size": [10, 10], "counts": [100]}', "line 3: the mask is empty"),
        ("path", "gone.jpg", "line 3: image not found"),
    ],
)
def test_czechlynx_names_the_bad_line(tmp_path, lynx3, czech_rows, column, value, message):
    czech_rows[1][column] = value
    folder = _copy_tree(tmp_path, lynx3, czech_rows)
    with pytest.raises(InputError, match=message):
        czechlynx.read(str(folder))
    czech = czechlynx.read(str(folder), on_error="skip")
    assert len(czech.records) == 2
    assert czech.skipped["bad records"] == 1


def test_czechlynx_counts_images_without_a_pose(tmp_path, lynx3, czech_rows):
    czech_rows[0]["pose"] = ""
    czech_rows[2]["pose"] = "{}"
    annotations = czechlynx.read(str(_copy_tree(tmp_path, lynx3, czech_rows)))
    assert len(annotations.records) == 1
    assert annotations.skipped["images without a pose"] == 2


def test_czechlynx_needs_its_columns(tmp_path, lynx3, czech_rows):
    for row in czech_rows:
        del row["mask"]
    with pytest.raises(InputError, match="no column mask"):
        czechlynx.read(str(_copy_tree(tmp_path, lynx3, czech_rows)))


@pytest.mark.parametrize(
    ("names", "options", "mirrorable", "said"),
    [
        (["l_ear", "r_ear", "nose"], {}, True, None),
        (["l_ear", "r_ear", "l_eye"], {}, False, "l_eye have no partner on the other side"),
        (["l_ear", "r_ear", "l_eye"], {"pairs": [["l_ear", "r_ear"]]}, True, None),
        (["a", "b", "nose"], {}, False, "no left and right is known"),
        (["a", "b", "nose"], {"pairs": [["a", "b"]]}, True, None),
        (["head", "middle", "tail"], {"pairs": []}, True, None),
    ],
)
def test_images_are_mirrored_only_where_sides_are_known(tmp_path, caplog, names, options, mirrorable, said):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 80, 3), np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 60}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 50, 40], "area": 2000}
            | {"keypoints": [10, 10, 2, 20, 20, 2, 30, 30, 2], "num_keypoints": 3}
        ],
        "categories": [{"id": 1, "name": "animal", "keypoints": names, "skeleton": []}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    skeleton = coco_keypoints.read(str(tmp_path / "train.json"), str(tmp_path), **options).skeleton
    assert skeleton.mirrorable == mirrorable
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton
    assert (said is None and not caplog.text) or (said in caplog.text and "data.pairs=" in caplog.text)
