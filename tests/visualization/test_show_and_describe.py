"""What `show` and `describe` write."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from commandline import run
from hydra import compose, initialize_config_dir
from PIL import Image

from lynx_pose.config import CONF, instantiate
from lynx_pose.data.light import light_of
from lynx_pose.data.readers.lynx_pose_raw import read
from lynx_pose.visualization.contact_sheet import apply, ends, transforms

GROUPS = ("blur", "color", "noise", "weather", "color_then_noise_tuned", "color_or_noise")


def _nodes(group):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return list(transforms(compose("show", overrides=[f"aug={group}"]).aug.photometric))


@pytest.mark.parametrize(
    ("group", "count"), zip(GROUPS, (4, 7, 6, 4, 13, 13), strict=True)
)  # of section 6.1 of the thesis
def test_every_transform_of_a_group_is_found(group, count):
    assert len(_nodes(group)) == count


@pytest.mark.parametrize("group", GROUPS[:4])
def test_both_ends_of_every_range_can_be_shown_and_differ(group):
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    image = np.ascontiguousarray(np.repeat(np.repeat(image[::8, ::8], 8, axis=0), 8, axis=1))
    for node in _nodes(group):
        shown = [apply(variant, image) for _, variant in ends(node)]
        assert all(picture.shape == image.shape for picture in shown)
        for low, high in zip(shown[::2], shown[1::2], strict=False):
            assert not np.array_equal(low, high), node["_target_"]


def test_ends_hold_the_other_ranges_at_their_middle():
    node = {"_target_": "x", "a": [0.0, 1.0], "b": [2, 6], "c": [[1, 3], [2, 4]], "fixed": [1, 1], "p": 1}
    found = dict(ends(node))
    assert list(found) == ["a = 0", "a = 1", "b = 2", "b = 6", "c = 1, 2", "c = 3, 4"]
    middle = {"a": [0.5, 0.5], "b": [4, 4], "c": [[2, 2], [3, 3]]}
    assert found["b = 6"] == node | middle | {"b": [6, 6]}


def test_a_sheet_and_times_are_written(tmp_path, data):
    options = ["aug=blur", "data=lynx", f"data.root={data}", "animal=3"]
    process = run("show", *options, f"hydra.run.dir={tmp_path}/sheet", "width=100", cwd=tmp_path)
    assert "4 transforms on Traps/003" in process.stderr
    sheet = np.asarray(Image.open(tmp_path / "sheet" / "blur.png"))
    assert sheet.shape[1] == 8 + 3 * 108
    assert sheet.std() > 10
    run("show", *options, "time=true", f"hydra.run.dir={tmp_path}/times", cwd=tmp_path)
    with (tmp_path / "times" / "blur-times.csv").open() as file:
        rows = {row["transform"]: row for row in csv.DictReader(file)}
    assert float(rows["ColorJitter"]["whole"]) == 1
    assert rows["MedianBlur"]["whole (Table 3)"] == "8"
    assert all(float(row["whole ms"]) > 0 for row in rows.values())
    process = run("show", "aug=flip", *options[1:], cwd=tmp_path, check=False)
    assert "aug=flip: changes no pixels" in process.stderr


def test_a_dataset_is_described(tmp_path, data):
    options = ["data=lynx", f"data.root={data}", "samples=3", f"hydra.run.dir={tmp_path}/page"]
    run("describe", *options, cwd=tmp_path)
    page = (tmp_path / "page" / "description.html").read_text()
    assert "12 animals with a pose in 12 images" in page
    assert page.count("data:image/jpeg;base64,") == 3
    for title in ("Box sizes", "Keypoints an animal", "Light", "Side seen", "Individuals", "Sizes of images"):
        assert title in page
    process = run("describe", *options, "size_limits=[0.2,0.1]", cwd=tmp_path, check=False)
    assert "size_limits=[0.2, 0.1]: must be positive numbers in increasing order" in process.stderr


def test_light_is_told_by_colour_and_background(tmp_path):
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(0, 256, (80, 80, 1)), 3, axis=2)
    day = np.clip(rng.integers(60, 200, (80, 80, 3)) + np.array([40, 0, -40]), 0, 255)
    flash = np.concatenate([day[:50] // 8, day[50:]])
    paths = {"infrared": grey, "day": day, "night or dusk": flash}
    for name, pixels in paths.items():
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{name}.png")
    records = [SimpleNamespace(image_path=tmp_path / f"{name}.png", light=None) for name in paths]
    told = SimpleNamespace(image_path=tmp_path / "day.png", light="dawn")
    assert light_of([told, *records]) == ["dawn", *paths]


def test_the_command_line_makes_every_option(tmp_path):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for group in GROUPS:
            assert instantiate(compose("train", overrides=[f"aug={group}"]).aug.photometric) is not None


def test_flash_images_are_not_called_day(lynx3):
    records = read(str(lynx3)).records
    by_light = dict(zip((record.image_path.stem[:4] for record in records), light_of(records), strict=True))
    assert by_light == {"001c": "night or dusk", "0fcc": "day", "2a4e": "night or dusk"}
