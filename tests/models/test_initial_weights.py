"""First weights: from MMPose's files, timm's, and our own runs; never code from a file."""

import json
import pickle
from dataclasses import replace

import pytest
import timm
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.models.initial_weights import (
    ImageNetInit,
    MMPoseInit,
    RandomInit,
    RunInit,
    read_checkpoint,
    read_tensors,
)
from lynx_pose.models.pose_net import build_net


def _net(model, keypoints=20):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_net(compose("train", overrides=[f"model={model}"]), keypoints)


@pytest.mark.parametrize(("model", "layout"), [("hrnet", "hrnet_w32"), ("r50", "res50"), ("r152", "res152")])
@pytest.mark.parametrize("prefix", ["head.", "keypoint_head."])
def test_a_published_checkpoint_is_loaded_whole(reference, tmp_path, model, layout, prefix):
    shapes = json.loads(reference(f"mmpose_checkpoint_keys/{layout}.json").read_text())
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    state = {
        name: (value * 9).long() if name.endswith("num_batches_tracked") else value for name, value in state.items()
    }
    renamed = {name.replace("head.", prefix, 1) if name.startswith("head.") else name: v for name, v in state.items()}
    torch.save({"state_dict": renamed, "meta": {}}, tmp_path / "x.pth")
    net = _net(model)
    report = MMPoseInit(str(tmp_path / "x.pth"))(net)
    assert report.unexpected == ()
    assert set(report.loaded) == set(shapes)
    assert all(name.startswith("backbone.stage4.2.fuse_layers.") for name in report.missing)
    assert (len(report.missing) > 0) == (model == "hrnet")
    own = net.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items())


def test_the_old_file_format_of_published_checkpoints(tmp_path):
    net = _net("tiny")
    path = tmp_path / "old.pth"
    torch.save({"state_dict": net.state_dict()}, path, _use_new_zipfile_serialization=False)
    assert MMPoseInit(str(path))(_net("tiny")).missing == ()


def test_a_runners_checkpoint_is_read_without_its_libraries(reference):
    path = reference("mmpose_runner_checkpoint.pth")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        read_checkpoint(path)
    state = read_tensors(path)["state_dict"]
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "backbone.conv1.weight": (64, 3, 7, 7),
        "backbone.bn1.weight": (64,),
        "backbone.bn1.running_mean": (64,),
        "backbone.bn1.num_batches_tracked": (),
        "head.final_layer.weight": (20, 256, 1, 1),
        "head.final_layer.bias": (20,),
    }
    net = _net("r50")
    report = MMPoseInit(str(path))(net)
    assert len(report.loaded) == 6
    assert "layer1.0.conv1.weight" in " ".join(report.missing)
    assert torch.equal(net.state_dict()["head.final_layer.bias"], state["head.final_layer.bias"])


class Payload:
    """Runs code when it is unpickled the ordinary way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path, zipped):
    target = tmp_path / "written-by-the-payload"
    content = {"state_dict": {"backbone.a": torch.ones(2)}, "evil": Payload(target)}
    path = tmp_path / "evil.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError):
        read_checkpoint(path)
    try:
        read_tensors(path)
    except InputError:
        assert not zipped
    assert not target.exists()


@pytest.mark.parametrize(("source", "target"), [("hrnet", "r50"), ("r50", "hrnet"), ("tiny", "tiny_resnet")])
def test_another_architectures_checkpoint_is_refused(tmp_path, source, target):
    torch.save({"state_dict": _net(source).state_dict()}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="another architecture"):
        MMPoseInit(str(tmp_path / "x.pth"))(_net(target))


def test_a_head_for_other_keypoints_is_skipped_and_reported(tmp_path):
    torch.save({"state_dict": _net("tiny", keypoints=17).state_dict()}, tmp_path / "a.pth")
    report = MMPoseInit(str(tmp_path / "a.pth"))(_net("tiny", keypoints=20))
    assert set(report.missing) == {"head.final_layer.weight", "head.final_layer.bias"} == set(report.unexpected)


@pytest.mark.parametrize("content", [b"", b"garbage", b"half a file", pickle.dumps([1, 2])])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    for read in (read_checkpoint, read_tensors):
        with pytest.raises(InputError, match=r"x\.pth"):
            read(tmp_path / "x.pth")
    with pytest.raises(InputError, match="no such file"):
        MMPoseInit(str(tmp_path / "gone.pth"))(_net("tiny"))


def test_imagenet_weights_from_a_file(tmp_path):
    classifier = timm.create_model("resnet10t")
    torch.save(classifier.state_dict(), tmp_path / "imagenet.pth")
    net = _net("tiny_resnet")
    report = ImageNetInit("resnet10t", str(tmp_path / "imagenet.pth"))(net)
    assert all(name.startswith("head.") for name in report.missing)
    assert set(report.unexpected) == {"backbone.fc.weight", "backbone.fc.bias"}
    key = "layer3.0.conv1.weight"
    assert torch.equal(net.backbone.state_dict()[key], classifier.state_dict()[key])


def test_a_runs_weights_whole_or_the_backbone_alone(tmp_path):
    source = _net("tiny")
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    state = {f"net.{name}": value for name, value in source.state_dict().items()}
    torch.save({"state_dict": state}, folder / "checkpoints" / "best.ckpt")
    assert RunInit(str(folder))(_net("tiny")).missing == ()
    report = RunInit(str(folder), part="backbone.")(_net("tiny"))
    assert set(report.missing) == {"head.final_layer.weight", "head.final_layer.bias"}
    torch.save({"state_dict": {"x": 1}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of lynx_pose"):
        RunInit(str(tmp_path / "other.ckpt"))(_net("tiny"))


def test_random_weights_load_nothing():
    assert RandomInit()(_net("tiny")).loaded == ()


def test_a_cut_part_a_published_checkpoint_is_taken(tmp_path):
    donor, net = _net("r50"), _net("r50")
    torch.save({"state_dict": donor.state_dict()}, tmp_path / "r50.pth")
    report = MMPoseInit("r50.pth", folder=str(tmp_path), part="backbone.")(net)
    assert all(name.startswith("backbone.") for name in report.loaded)
    assert torch.equal(net.backbone.conv1.weight, donor.backbone.conv1.weight)
    assert not torch.equal(net.head.final_layer.weight, donor.head.final_layer.weight)


def test_what_an_experiment_needs_is_asked_for():
    with pytest.raises(InputError, match=r"folder that holds r50.pth"):
        MMPoseInit("r50.pth", folder=None)(_net("tiny_resnet"))
    with pytest.raises(InputError, match="run to start from"):
        RunInit(None)(_net("tiny_resnet"))


def test_a_run_on_other_keypoints_gives_its_backbone_alone(tmp_path):
    """As many keypoints under other names would fit, and mean something else."""
    donor, net = _net("tiny_resnet"), _net("tiny_resnet")
    names = tuple(reversed(ANIMAL_POSE_20.names))
    state = {f"net.{name}": value for name, value in donor.state_dict().items()}
    note = {"skeleton": replace(ANIMAL_POSE_20, names=names).to_dict()}
    torch.save({"state_dict": state, "lynx_pose": note}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"R_B_Paw.*but the data have 20 .*init.part=backbone"):
        RunInit(str(tmp_path / "other.ckpt"))(net, ANIMAL_POSE_20)
    report = RunInit(str(tmp_path / "other.ckpt"), part="backbone.")(net, ANIMAL_POSE_20)
    assert report.loaded
    assert all(name.startswith("backbone.") for name in report.loaded)
