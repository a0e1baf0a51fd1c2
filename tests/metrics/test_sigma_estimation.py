import json

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.formats.coco import AnnotatedPose
from lynx_pose.metrics.sigma_estimation import estimate_sigmas, match, write_sigmas

NAMES = ("nose", "left_eye", "right_eye")
TRUE = (0.02, 0.05, 0.1)


def _annotated(rng, truth, areas):
    """Annotations whose distance from the truth is sigma times the scale in the root mean square."""
    spread = np.array(TRUE)[None, :, None] * np.sqrt(areas)[:, None, None] / np.sqrt(2)
    points = truth + rng.normal(0, 1, truth.shape) * spread
    return {
        f"{number}.jpg": [AnnotatedPose(pose, np.ones(3, dtype=bool), area, "")]
        for number, (pose, area) in enumerate(zip(points, areas, strict=True))
    }


@pytest.fixture(scope="module")
def twice():
    rng = np.random.default_rng(0)
    truth, areas = rng.uniform(0, 1000, (400, 3, 2)), rng.uniform(1e4, 1e6, 400)
    return _annotated(rng, truth, areas), _annotated(rng, truth, areas)


def test_known_sigmas_are_found_within_their_intervals(twice):
    for estimate, true in zip(estimate_sigmas(NAMES, *twice), TRUE, strict=True):
        assert estimate.sigma == pytest.approx(true, rel=0.1)
        assert estimate.low < estimate.sigma < estimate.high
        assert estimate.low < true < estimate.high
        assert estimate.pairs == 400


def test_animals_of_one_image_are_paired_by_where_they_are():
    visible = np.ones(2, dtype=bool)
    places = [np.array([[0.0, 0], [10, 0]]), np.array([[500.0, 0], [510, 0]])]
    first = [AnnotatedPose(points, visible, 400.0, "") for points in places]
    second = [AnnotatedPose(points + 1, visible, 400.0, "") for points in reversed(places)]
    assert [(a.keypoints[0, 0], b.keypoints[0, 0]) for a, b in match(first, second)] == [(0, 1), (500, 501)]
    far = [AnnotatedPose(places[1] + 300, visible, 400.0, "")]
    assert match(first, far) == []


def test_too_little_is_said():
    pose = AnnotatedPose(np.zeros((3, 2)), np.ones(3, dtype=bool), 100.0, "")
    with pytest.raises(InputError, match="no animal in common"):
        estimate_sigmas(NAMES, {"a.jpg": [pose]}, {"b.jpg": [pose]})
    with pytest.raises(InputError, match="nose: 1 animals have it in both files"):
        estimate_sigmas(NAMES, {"a.jpg": [pose]}, {"a.jpg": [pose]})


def _coco(poses, names=NAMES):
    images = [{"id": n, "file_name": name, "width": 2000, "height": 2000} for n, name in enumerate(poses)]
    annotations = [
        {
            "id": n,
            "image_id": n,
            "category_id": 1,
            "bbox": [0, 0, 10, 10],
            "area": pose.area,
            "keypoints": [value for x, y in pose.keypoints.tolist() for value in (x, y, 2)],
        }
        for n, (pose,) in enumerate(poses.values())
    ]
    category = {"id": 1, "name": "lynx", "keypoints": list(names), "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def test_the_command_writes_a_configuration(twice, tmp_path, capsys):
    for name, poses in zip(("first", "second"), twice, strict=True):
        (tmp_path / f"{name}.json").write_text(json.dumps(_coco(poses)))
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    output = tmp_path / "sigmas" / "measured.yaml"
    output.parent.mkdir()
    write_sigmas(*files, output)
    assert "left_eye" in capsys.readouterr().out
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"hydra.searchpath=[file://{tmp_path}]", "+sigmas=measured"])
    assert list(config.data.sigmas) == pytest.approx(TRUE, rel=0.1)
    with pytest.raises(InputError, match="exists already"):
        write_sigmas(*files, output)
    (tmp_path / "second.json").write_text(json.dumps(_coco(twice[1], names=("nose", "eye", "ear"))))
    with pytest.raises(InputError, match="keypoints differ"):
        write_sigmas(*files, None)
    with pytest.raises(InputError, match="no such file"):
        write_sigmas(files[0], tmp_path / "third.json", None)
