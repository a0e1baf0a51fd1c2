"""`lynx_pose.load`: a network on images in memory and on disk."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import lynx_pose
from lynx_pose.data.image import read_image
from lynx_pose.data.readers.lynx_pose_raw import read
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError


@pytest.fixture(scope="module")
def estimator(trained):
    return lynx_pose.load(trained, precision="float32")


def test_it_finds_what_the_run_found(trained, estimator):
    """In the annotated boxes of the validation images, the poses that the run wrote down."""
    written = {result["instance"]: result for result in json.loads((trained / "predictions.json").read_text())}
    records = [record for record in read(str(trained.parent / "data")).records if record.id in written]
    assert len(records) == 3
    for record in records:
        poses = estimator.predict(record.image_path, [record.box])
        expected = np.array(written[record.id]["keypoints"]).reshape(-1, 3)
        np.testing.assert_allclose(poses.keypoints[0], expected[:, :2], atol=1e-3)
        np.testing.assert_allclose(poses.confidences[0], expected[:, 2], atol=1e-5)
        assert poses.scores[0] == pytest.approx(written[record.id]["score"], abs=1e-5)


def test_files_pillow_images_and_arrays_are_the_same(trained, estimator):
    path = trained.parent / "data" / "Traps" / "000.jpg"
    boxes = [[10, 10, 60, 40], [0, 0, 96, 64]]
    results = [estimator.predict(image, boxes) for image in (path, str(path), Image.open(path), read_image(path))]
    for poses in results:
        assert poses.keypoints.shape == (2, 20, 2)
        np.testing.assert_array_equal(poses.keypoints, results[0].keypoints)
    whole = estimator.predict(path)
    np.testing.assert_array_equal(whole.keypoints[0], results[0].keypoints[1])


def test_a_turned_image_is_seen_upright(tmp_path, estimator):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = estimator.predict(picture.transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(estimator.predict(tmp_path / "turned.png").keypoints, upright.keypoints)


def test_batches_do_not_change_poses(trained, estimator):
    image = read_image(trained.parent / "data" / "Traps" / "001.jpg")
    boxes = np.random.default_rng(0).uniform((0, 0, 10, 10), (40, 30, 50, 30), (50, 4))
    together = estimator.predict(image, boxes)
    alone = [estimator.predict(image, [box]).keypoints[0] for box in boxes]
    # A tie between cells may be broken by the last bit.
    assert np.mean(np.abs(together.keypoints - alone) < 1e-3) > 0.99
    assert len(estimator.predict(image, np.zeros((0, 4)))) == 0


def test_folding_normalisation_changes_nothing(trained):
    """It goes into the convolutions before it."""
    network = lynx_pose.load(trained, precision="float32").network
    crops = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    before = network(crops)
    layers = len([layer for layer in network.net.backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d)])
    network.fold_batchnorm()
    after = network(crops)
    left = len([layer for layer in network.net.backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d)])
    assert left < layers
    np.testing.assert_allclose(after[1], before[1], atol=1e-5)
    assert np.mean(np.abs(after[0] - before[0]) < 1e-3) > 0.95


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([200, 0, 10, 10], r"lies outside the image of 96×64"),
        ([0, 0, 0, 10], "is empty"),
        ([0, 0, float("nan"), 10], "is empty"),
        ([0, 0, -5, 10], "is empty"),
    ],
)
def test_a_box_that_cannot_be_used(estimator, box, message):
    with pytest.raises(InputError, match=message):
        estimator.predict(np.zeros((64, 96, 3), np.uint8), [box])


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), 3, "nowhere.jpg"])
def test_an_image_that_cannot_be_used(estimator, image):
    with pytest.raises(InputError):
        estimator.predict(image)


def test_a_checkpoint_needs_no_run(trained, estimator, tmp_path):
    moved = tmp_path / "copy.ckpt"
    moved.write_bytes((trained / "checkpoints" / "best.ckpt").read_bytes())
    loaded = lynx_pose.load(moved, precision="float32")
    assert loaded.skeleton.names == ANIMAL_POSE_20.names
    image = np.full((64, 96, 3), 90, np.uint8)
    np.testing.assert_array_equal(loaded.predict(image).keypoints, estimator.predict(image).keypoints)


def test_what_is_no_trained_network(trained, tmp_path):
    with pytest.raises(InputError, match="there is no such run, checkpoint or ONNX file"):
        lynx_pose.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is not the folder of a run"):
        lynx_pose.load(tmp_path)
    begun = tmp_path / "begun"
    (begun / ".hydra").mkdir(parents=True)
    (begun / ".hydra" / "config.yaml").write_text((trained / ".hydra" / "config.yaml").read_text())
    with pytest.raises(InputError, match="there is no such checkpoint"):
        lynx_pose.load(begun)
    torch.save({"state_dict": {"net.x": torch.zeros(1)}}, tmp_path / "foreign.ckpt")
    with pytest.raises(InputError, match="does not say which network it belongs to"):
        lynx_pose.load(tmp_path / "foreign.ckpt")
    for option, value in (("precision", "half"), ("device", "abacus"), ("batch_size", 0)):
        with pytest.raises(InputError, match=f"{option}={value}"):
            lynx_pose.load(trained, **{option: value})


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, lynx_pose.prediction.predictor, lynx_pose.prediction.onnx_network; print('torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
