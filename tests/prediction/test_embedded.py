"""The network that comes with the package: found without a run, said in a line, safe to start from."""

import logging

import numpy as np
import pytest
import torch
from commandline import run
from hydra import compose, initialize_config_dir

import lynx_pose
from lynx_pose.config import CONF, instantiate
from lynx_pose.data.readers import animal_pose, lynx_pose_raw
from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.data.synthetic.synthetic_image import render_image
from lynx_pose.errors import InputError
from lynx_pose.models import embedded
from lynx_pose.models.embedded import embedded_checkpoint, find_network
from lynx_pose.models.pose_net import build_net
from lynx_pose.models.weights import network_state, read_checkpoint, write_half_precision

OTHER = Skeleton(("snout", "tail"), (), (), (), (), mirrorable=False)


def _net_and_init(*overrides, keypoints=20):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["init=embedded", *overrides])
    return build_net(cfg, keypoints), instantiate(cfg.init)


def test_it_is_small_and_says_what_it_is():
    path = embedded_checkpoint()
    assert path.stat().st_size < 10e6
    card = path.with_name("model_card.md").read_text()
    for fact in ("no lynx", "licence", "experiment=embedded", "AP", "PCK@0.05", "cat"):
        assert fact in card
    state = network_state(read_checkpoint(path), path)
    assert state["mean"].flatten().tolist() == state["std"].flatten().tolist() == [127.5] * 3


def test_poses_without_a_run(tmp_path, caplog):
    """On a rendered cat it finds what it can; the line says which network it was."""
    from PIL import Image

    Image.fromarray(render_image(0, 0).image).save(tmp_path / "cat.jpg")
    process = run("predict", "images=cat.jpg", "output=out", cwd=tmp_path)
    assert "run=embedded: the network of this package" in process.stderr
    assert (tmp_path / "out" / "poses.csv").is_file()
    with caplog.at_level(logging.INFO):
        assert lynx_pose.load().skeleton == ANIMAL_POSE_20
    assert "on no lynx" in caplog.text


def test_three_real_lynxes_that_it_has_not_seen(lynx3):
    """The median keypoint lies within a twelfth of the box's longer side."""
    estimator = lynx_pose.load(precision="float32")
    errors = []
    for record in lynx_pose_raw.read(str(lynx3)).records:
        found = estimator.predict(record.image_path, [record.box]).keypoints[0]
        distances = np.linalg.norm(found - record.keypoints, axis=1)[record.visible]
        errors += list(distances / max(record.box[2:]))
    assert np.median(errors) < 1 / 12


def test_cats_of_the_validation_side(animalpose):
    """PCK@0.10 of the first sixty; of all 197 it is 0.77."""
    estimator = lynx_pose.load(precision="float32")
    records = animal_pose.read(str(animalpose), "annotations/train.json", "annotations/val.json").records
    cats = [record for record in records if record.species == "cat" and record.subsets["file"] == "val"][:60]
    hits = []
    for record in cats:
        found = estimator.predict(record.image_path, [record.box]).keypoints[0]
        distances = np.linalg.norm(found - record.keypoints, axis=1)[record.visible]
        hits += list(distances < 0.1 * max(record.box[2:]))
    assert np.mean(hits) > 0.65


def test_a_run_starts_from_all_of_it_or_from_its_backbone():
    state = network_state(read_checkpoint(embedded_checkpoint()), embedded_checkpoint())
    net, init = _net_and_init("model=mobilenet_fpn")
    assert init(net, ANIMAL_POSE_20).missing == ()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, state[name].to(value.dtype))
    net, init = _net_and_init("model=mobilenet_fpn", keypoints=2)
    report = init(net, OTHER)
    assert set(report.missing) == {"head.final_layer.weight", "head.final_layer.bias"}
    assert net.mean.flatten().tolist() == [127.5] * 3


def test_another_backbone_is_told_which_model_to_take():
    net, init = _net_and_init("model=tiny")
    with pytest.raises(InputError, match=r"is model=mobilenet_fpn; this one has another backbone"):
        init(net, ANIMAL_POSE_20)


def test_a_package_without_its_network(monkeypatch, tmp_path):
    monkeypatch.setattr(embedded, "EMBEDDED_FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"comes without its network.*run=<folder>"):
        lynx_pose.load()
    net, init = _net_and_init("model=mobilenet_fpn")
    with pytest.raises(InputError, match="comes without its network"):
        init(net, ANIMAL_POSE_20)
    assert find_network(tmp_path) == tmp_path


def test_a_checkpoint_in_half_precision_finds_the_same(trained, tmp_path):
    """A tenth of a pixel of the image at most, where the network is sure."""
    path = tmp_path / "small.ckpt"
    write_half_precision(trained / "checkpoints" / "best.ckpt", path)
    assert path.stat().st_size < 0.6 * (trained / "checkpoints" / "best.ckpt").stat().st_size
    image = trained.parent / "data" / "Traps" / "000.jpg"
    whole, half = (lynx_pose.load(one, precision="float32").predict(image) for one in (trained, path))
    np.testing.assert_allclose(half.confidences, whole.confidences, atol=0.01)
    sure = whole.confidences > 0.5
    assert np.abs(half.keypoints - whole.keypoints)[sure].max(initial=0) < 0.1
