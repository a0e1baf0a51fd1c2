"""The drawn dataset: repeats, is in the raw format, and knows where its keypoints are."""

import json

import numpy as np
import pytest

from lynx_pose.data.readers import lynx_pose_raw
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.data.synthetic import synthetic_dataset
from lynx_pose.data.synthetic.animal import FAR, draw_animal, place_camera
from lynx_pose.data.synthetic.body import BONES, REST, draw_proportions, sample_pose
from lynx_pose.data.synthetic.coat_pattern import make_coat
from lynx_pose.data.synthetic.synthetic_image import render_image
from lynx_pose.errors import InputError


def test_the_same_numbers_give_the_same_image():
    one, two, other = render_image(0, 5), render_image(0, 5), render_image(0, 6)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.animals[0].keypoints, two.animals[0].keypoints)
    assert one.image.shape != other.image.shape or (one.image != other.image).any()


def test_a_burst_shows_the_same_animals_at_the_same_trap():
    first, second, other = (render_image(0, number, burst=3) for number in (3, 4, 6))
    assert (first.trap, first.light, first.image.shape) == (second.trap, second.light, second.image.shape)
    assert [animal.name for animal in first.animals] == [animal.name for animal in second.animals]
    assert np.abs(first.animals[0].keypoints - second.animals[0].keypoints).max() > 5
    assert other.trap == first.trap + 1
    # The background in a corner, but for noise of the sensor.
    corners = [picture.image[:40, :40].astype(int) for picture in (first, second)]
    assert np.abs(corners[0] - corners[1]).mean() < 12


def test_the_side_that_is_turned_away_is_hidden_more_often():
    """Of left and right the one that is farther from the camera; hidden points are marked less often than others."""
    far_and_near, marked = [], {True: [], False: []}
    for number in range(24):
        for animal in render_image(0, number).animals:
            for pair in ANIMAL_POSE_20.pairs:
                near, far = sorted(pair, key=lambda index: animal.points[index, 2])
                far_and_near.append((animal.occluded[far], animal.occluded[near]))
            for hidden, labelled in zip(animal.occluded, animal.labelled, strict=True):
                marked[bool(hidden)].append(labelled)
    far, near = np.mean(far_and_near, axis=0)
    assert far > 2 * near > 0
    assert np.mean(marked[True]) < np.mean(marked[False])


def test_bones_keep_their_length_in_every_pose():
    for seed in range(20):
        body = sample_pose(np.random.default_rng(seed))
        for name, bone in BONES.items():
            length = np.linalg.norm(body.place(name, bone.vector) - body.starts[name])
            assert length == pytest.approx(np.linalg.norm(bone.vector))
        assert body.keypoints[:, 2].min() == pytest.approx(0.01)


def test_left_is_left_at_rest():
    for left, right in ANIMAL_POSE_20.pairs:
        assert REST.keypoints[left, 1] > 0
        np.testing.assert_allclose(REST.keypoints[left] * (1, -1, 1), REST.keypoints[right], atol=1e-9)


@pytest.mark.parametrize(("heading", "near"), [(0, "R_"), (180, "L_")])
def test_a_cat_that_walks_to_the_right_shows_its_right_side(heading, near):
    view = place_camera(heading, 5, 300, np.array([200.0, 300.0]))
    depth = view.project(REST.keypoints)[:, 2]
    for left, right in ANIMAL_POSE_20.pairs:
        nearer = left if depth[left] < depth[right] else right
        assert ANIMAL_POSE_20.names[nearer].startswith(near)


def test_keypoints_lie_on_the_drawn_body():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        body = sample_pose(rng)
        view = place_camera(rng.uniform(0, 360), 10, 260, np.array([220.0, 330.0]))
        layer = draw_animal(body, make_coat(seed, 0), view, (480, 400), np.array([0, -1.0, -0.5]), rng)
        points = view.project(body.keypoints)
        for x, y, _ in points:
            row, column = round(y), round(x)
            if 6 <= row < 394 and 6 <= column < 474:
                assert layer.alpha[row - 6 : row + 7, column - 6 : column + 7].max() > 0.5
        assert ((layer.alpha > 0.9) == (layer.depth < FAR)).mean() > 0.97


def test_coats_tell_individuals_apart():
    points = np.random.default_rng(0).uniform((0, -0.1, 0.4), (0.6, 0.1, 0.7), (500, 3))
    one, same, other = (make_coat(number, 0).darkness(points) for number in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic")
    return synthetic_dataset.read(str(root), 24), synthetic_dataset.ensure_drawn(root, 24, 0)


def test_the_dataset_is_in_the_raw_format(drawn):
    annotations, folder = drawn
    content = json.loads((folder / "metadata_cleaned.json").read_text())
    assert len(content["images"]) == 24
    assert len(annotations.records) + annotations.skipped["annotations tagged NOT_FOR_POSE"] == len(
        content["annotations"]
    )
    for record in annotations.records:
        assert record.image_path.is_file()
        assert record.orientation in ("left", "right", "front", "back")
        assert record.identity is None or record.identity.startswith("lynx-")


def test_it_is_drawn_once(drawn):
    _, folder = drawn
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert synthetic_dataset.ensure_drawn(folder.parent, 24, 0) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_draft_that_was_left_behind_is_no_dataset(tmp_path):
    draft = tmp_path / f".synthetic-v{synthetic_dataset.VERSION}-seed0-2.draft"
    draft.mkdir()
    (draft / "rest").write_text("of a killed process")
    folder = synthetic_dataset.ensure_drawn(tmp_path, 2, 0)
    assert len(list(folder.rglob("*.jpg"))) == 2
    assert not draft.exists()


def test_where_nothing_can_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        synthetic_dataset.ensure_drawn(tmp_path / "file", 2, 0)
    with pytest.raises(InputError, match="at least 2"):
        synthetic_dataset.ensure_drawn(tmp_path, 1, 0)


def test_three_dimensions_are_those_of_the_image(drawn):
    """The annotated keypoints are the points' projection, but for rounding; the nearer side is the one that is seen."""
    records = drawn[0].records
    for record in records:
        projected = record.points[:, :2] * record.pixels_per_metre
        # Withers at withers; its place in the image is that of any annotated point less its own projection.
        shift = (record.keypoints - projected)[record.visible]
        assert np.ptp(shift, axis=0).max() < 0.03
        assert record.points[7] == pytest.approx(0)
        np.testing.assert_allclose(record.depth, record.points[:, 2] * record.pixels_per_metre)
    sides = [record for record in records if record.orientation in ("left", "right")]
    for record in sides:
        left, right = (record.points[paws, 2].mean() for paws in ([16, 18], [17, 19]))
        assert (left < right) == (record.orientation == "left")


def test_individuals_have_bones_of_their_own_length():
    """Left as right, within the spread, and the same in every image of an individual."""
    rng = np.random.default_rng(0)
    one, other = (draw_proportions(rng, 0.15) for _ in range(2))
    assert one != other
    for factors in (one, other):
        assert all(0.85 <= factor <= 1.15 for factor in factors.values())
        body = sample_pose(np.random.default_rng(1), proportions=factors)
        for name, bone in BONES.items():
            length = np.linalg.norm(body.place(name, bone.vector) - body.starts[name])
            assert length == pytest.approx(factors[name] * np.linalg.norm(bone.vector))
            assert factors[name] == factors[name.replace("left_", "right_")]
    forearms = {}
    for number in range(60):
        for animal in render_image(0, number, proportions=0.15).animals:
            forearm = np.linalg.norm(animal.points[12] - animal.points[8])
            forearms.setdefault(animal.name, []).append(forearm)
    assert max(np.ptp(lengths) for name, lengths in forearms.items() if name) < 0.03
    assert np.ptp([lengths[0] for lengths in forearms.values()]) > 0.03


def test_points_that_are_missing_or_mirrored_are_refused(drawn, tmp_path):
    folder = drawn[1]
    content = json.loads((folder / synthetic_dataset.ANNOTATIONS).read_text())
    first = next(annotation for annotation in content["annotations"] if "keypoints" in annotation)
    points = first["keypoints_3d"]
    mirrored = {name: [-x, y, z] for name, (x, y, z) in points.items()}
    partly = {name: point for name, point in points.items() if name != "nose"}
    for changed, message in ((mirrored, "a mirrored skeleton"), (partly, "Nose are missing; all 20 are needed")):
        first["keypoints_3d"] = changed
        (folder / "changed.json").write_text(json.dumps(content))
        with pytest.raises(InputError, match=message):
            lynx_pose_raw.read(str(folder), "changed.json")
    with pytest.raises(InputError, match=r"data.proportions=0.9: must be between 0 and 0.4"):
        synthetic_dataset.read(str(tmp_path), 2, proportions=0.9)
