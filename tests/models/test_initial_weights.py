"""First weights: from MMPose's files, timm's, and our own runs; never code from a file."""

import json
import pickle
from dataclasses import replace

import pytest
import timm
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF, instantiate
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.models.initial_weights import (
    MMPoseInit,
    RandomInit,
    RunInit,
    read_checkpoint,
    read_tensors,
)
from lynx_pose.models.pose_net import build_net


def _net(model, *overrides, keypoints=20):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        model = model if "=" in model else f"model={model}"
        return build_net(compose("train", overrides=[model, *overrides]), keypoints)


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


def _imagenet(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return instantiate(compose("train", overrides=["init=imagenet", *overrides]).init)


@pytest.mark.parametrize("content", [{}, {"state_dict": {"conv1.weight": torch.ones(2)}}])
def test_a_file_of_other_weights_is_no_imagenet_file(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    for model in ("tiny_resnet", "mobilenet_fpn"):
        with pytest.raises(InputError, match="cannot be had"):
            _imagenet(f"model={model}", f"init.path={tmp_path}/x.pth")(_net(model))


@pytest.mark.parametrize("name", ["convnext_atto", "swin_tiny_patch4_window7_224", "repvit_m0_9"])
def test_imagenet_weights_of_backbones_whose_feature_maps_have_other_names(tmp_path, name):
    classifier = timm.create_model(name)
    torch.save(classifier.state_dict(), tmp_path / "imagenet.pth")
    model = ("model=r50", f"model.backbone.name={name}", "model.input_size=[224,224]")
    report = _imagenet(*model, f"init.path={tmp_path}/imagenet.pth")(net := _net(*model))
    assert all(name.startswith("head.") for name in report.missing)
    image = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(
            net.eval().backbone(image)[-1], classifier.eval().forward_intermediates(image)[1][-1], check_stride=False
        ) if "swin" not in name else None


def test_imagenet_weights_from_a_file(tmp_path):
    classifier = timm.create_model("resnet10t")
    torch.save(classifier.state_dict(), tmp_path / "imagenet.pth")
    net = _net("tiny_resnet")
    report = _imagenet("model=tiny_resnet", f"init.path={tmp_path}/imagenet.pth")(net)
    assert all(name.startswith("head.") for name in report.missing)
    assert report.unexpected == ()
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


def _pixels(net):
    return net.mean.flatten().tolist(), net.std.flatten().tolist()


def test_mean_and_deviation_come_with_the_weights(tmp_path):
    """Those of timm's weights, of a file's that says otherwise, and of a run of ours that started from it."""
    classifier = timm.create_model("mobilenetv2_035")
    torch.save(classifier.state_dict(), tmp_path / "imagenet.pth")
    model = ["model=mobilenet_fpn", "model.backbone.name=mobilenetv2_035"]
    donor = _net(*model)
    file = f"init.path={tmp_path}/imagenet.pth"
    report = _imagenet(*model, file)(donor)
    assert all(name.startswith(("head.", "backbone.lateral.", "backbone.smooth.")) for name in report.missing)
    assert torch.equal(donor.backbone.body.conv_stem.weight, classifier.conv_stem.weight)
    assert _pixels(donor)[0] == pytest.approx([255 * 0.485, 255 * 0.456, 255 * 0.406])
    _imagenet(*model, file, "init.mean=[0.5,0.5,0.5]", "init.std=[0.25,0.5,0.5]")(donor)
    assert _pixels(donor) == ([127.5] * 3, [63.75, 127.5, 127.5])
    torch.save({"state_dict": {f"net.{name}": v for name, v in donor.state_dict().items()}}, tmp_path / "run.ckpt")
    net = _net(*model)
    RunInit(str(tmp_path / "run.ckpt"), part="backbone.")(net)
    assert _pixels(net) == _pixels(donor)


def test_a_vision_transformers_weights_are_loaded_with_its_own_mean(tmp_path):
    classifier = timm.create_model("vit_tiny_patch16_224")
    torch.save(classifier.state_dict(), tmp_path / "vit.pth")
    model = ("model=vit", "model.backbone.name=vit_tiny_patch16_224")
    report = _imagenet(*model, f"init.path={tmp_path}/vit.pth")(net := _net(*model))
    assert all(name.startswith("head.") for name in report.missing)
    assert _pixels(net)[0] == [127.5] * 3
    # 16 × 16 patches of 256 pixels from the weights' 14 × 14.
    assert net.backbone.model.pos_embed.shape[1] == 256 + classifier.num_prefix_tokens
