"""What must hold whatever the numbers: of crops, and of readers that meet arbitrary JSON."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_datasets import lynx_pose_content, write_lynx_pose

from lynx_pose.data.crop import (
    CropBox,
    CropConvention,
    compose,
    crop_box,
    invert,
    mirror_matrix,
    transform_points,
)
from lynx_pose.data.readers import coco_keypoints, lynx_pose_raw
from lynx_pose.errors import InputError

sides = st.floats(0.5, 5000)
places = st.floats(-5000, 5000)
boxes = st.tuples(places, places, sides, sides)
sizes = st.tuples(st.integers(8, 512), st.integers(8, 512))
turns = st.floats(-180, 180)
conventions = st.sampled_from([CropConvention.CLASSIC, CropConvention.UDP])


@given(boxes, sizes, turns, conventions)
def test_a_crop_holds_its_box_and_the_way_back_is_the_way_back(box, size, rotation, convention):
    width, height = size
    crop = crop_box(box, width / height)
    assert crop.size[0] / crop.size[1] == pytest.approx(width / height)
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]])
    upright = transform_points(corners, convention.matrix(crop, size))
    assert (upright >= -1e-6 * width).all()
    assert (upright <= np.array(size) * (1 + 1e-6)).all()
    matrix = convention.matrix(CropBox(crop.center, crop.size, rotation), size)
    there = transform_points(corners, matrix)
    np.testing.assert_allclose(
        transform_points(there, invert(matrix)), corners, atol=1e-6 * (1 + np.abs(corners).max())
    )
    # Turning and scaling alike: the angle and the ratio of two lengths stay.
    after = there[1:3] - there[0]
    if convention is CropConvention.CLASSIC:
        assert np.linalg.norm(after[0]) * h == pytest.approx(np.linalg.norm(after[1]) * w, rel=1e-6)
        assert after[0] @ after[1] == pytest.approx(0, abs=1e-6 * np.linalg.norm(after[0]) * np.linalg.norm(after[1]))


@given(boxes, sizes, turns, conventions, st.integers(2, 6000))
def test_mirroring_twice_is_not_mirroring(box, size, rotation, convention, image_width):
    crop = crop_box(box, size[0] / size[1])
    matrix = convention.matrix(CropBox(crop.center, crop.size, rotation), size)
    mirror = mirror_matrix(image_width)
    np.testing.assert_allclose(compose(compose(matrix, mirror), mirror), matrix, atol=1e-6 * np.abs(matrix).max())
    assert np.linalg.det(compose(matrix, mirror)[:, :2]) == pytest.approx(-np.linalg.det(matrix[:, :2]))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../x", "/etc/hostname", "Traps/000", "nose", "1.png", 0, 1, -1]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _places(node, path=()):
    """Return the paths of all nodes of a JSON value."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in entries for place in _places(value, (*path, key)))]


def _changed(content, draw):
    """Replace, drop or repeat some nodes."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        *path, key = draw(st.sampled_from([place for place in _places(content) if place]))
        target = content
        for step in path:
            target = target[step]
        action = draw(st.sampled_from(["replace", "drop", "repeat"]))
        if action == "replace":
            target[key] = draw(json_values)
        elif action == "drop":
            del target[key]
        elif isinstance(target, list):
            target.append(copy.deepcopy(target[key]))
    return content


def _read(read):
    try:
        return read().records, ""
    except InputError as error:
        return [], str(error)


def _assert_sound_or_refused(read, file, content):
    """Reading gives records that can be trained on, or a message that names the file; and writes nothing."""
    file.write_text(json.dumps(content))
    before = {path: path.stat().st_mtime_ns for path in file.parent.rglob("*")}
    records, message = _read(read)
    assert records or str(file) in message
    for record in records:
        width, height = record.image_size
        points = record.keypoints[record.visible]
        assert len(points) > 0
        assert ((points >= 0) & (points <= (width - 1, height - 1))).all()
        assert np.isfinite(record.box).all()
        assert (record.box[2:] > 0).all()
        assert np.isfinite(record.area)
        assert record.area > 0
        assert record.image_path.is_relative_to(file.parent)
    assert {path: path.stat().st_mtime_ns for path in file.parent.rglob("*")} == before


any_number_of_times = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@any_number_of_times
@given(data=st.data())
def test_the_lynx_pose_reader_is_sound(tmp_path, data):
    content = lynx_pose_content(3)
    file = tmp_path / "metadata_cleaned.json"
    if not file.exists():
        write_lynx_pose(tmp_path, content)
    _assert_sound_or_refused(lambda: lynx_pose_raw.read(str(tmp_path)), file, _changed(content, data.draw))


@any_number_of_times
@given(data=st.data())
def test_the_coco_reader_is_sound(tmp_path, data):
    for name in ("1.png", "2.png"):
        if not (tmp_path / name).exists():
            Image.new("RGB", (64, 48)).save(tmp_path / name)
    file = tmp_path / "poses.json"
    box = {"bbox": [5, 5, 40, 40], "category_id": 1, "area": 900.0}
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 48} for n in (1, 2)],
        "annotations": [{"id": n, "image_id": n, "keypoints": [10, 10, 2, 20, 20, 2, 30, 30, 1]} | box for n in (1, 2)],
        "categories": [{"id": 1, "name": "lynx", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2], [2, 3]]}],
    }
    _assert_sound_or_refused(lambda: coco_keypoints.read(str(file), str(tmp_path)), file, _changed(content, data.draw))
