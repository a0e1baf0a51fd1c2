"""ONNX files: what the network finds, without torch."""

import json
import logging
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from commandline import run
from hydra import compose, initialize_config_dir

import lynx_pose
from lynx_pose.config import CONF
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.heatmap_codec import UdpHeatmap, UnbiasedHeatmap
from lynx_pose.models.pose_net import build_net
from lynx_pose.prediction.onnx_export import random_crops, require_equal, write_onnx
from lynx_pose.prediction.onnx_network import OnnxNetwork
from lynx_pose.prediction.torch_network import TorchNetwork

# Otherwise pytest keeps the thousands of lines that torch's exporter writes for its makers.
logging.getLogger("torch").setLevel(logging.WARNING)
logging.getLogger("onnxscript").setLevel(logging.WARNING)


def _network(*overrides, flip_test=False):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=["model.input_size=[64,64]", *overrides])
    torch.manual_seed(0)
    net = build_net(cfg, 20)
    network = TorchNetwork(net, ANIMAL_POSE_20, (64, 64), flip_test, "float32")
    if hasattr(net.head, "final_layer"):
        # As high as a trained network's.
        net.head.final_layer.weight.data /= network(random_crops((64, 64)))[1].mean()
    return network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "flip_test"),
    [
        (("model=tiny",), True),
        (("model=mobilenet", "head/codec=udp", "head/codec/decoding=quarter_shift"), False),
        (("model=tiny", "head=regression"), True),
        (("model=tiny", "head=simcc"), False),
    ],
)
def test_a_file_finds_what_the_network_finds(tmp_path, overrides, flip_test):
    network = _network(*overrides, flip_test=flip_test)
    path = tmp_path / "network.onnx"
    write_onnx(network, path)
    exported = OnnxNetwork(path)
    assert (network(random_crops((64, 64)))[1] > 0.1).mean() > 0.5
    for count in (1, 5):
        require_equal(exported, network, random_crops((64, 64), count), path)
    assert exported.skeleton == ANIMAL_POSE_20
    assert exported.crop_convention is not None
    described = json.loads(exported.session.get_modelmeta().custom_metadata_map["lynx_pose"])
    assert described["normalisation"]["inside"]
    assert described["crop_convention"] == ("udp" if "udp" in str(overrides) else "classic")


@pytest.mark.slow
@pytest.mark.parametrize("codec", [UnbiasedHeatmap((64, 64)), UdpHeatmap((64, 64))])
def test_a_graph_refines_places_as_the_codec_does(tmp_path, codec):
    """On Gaussians of all heights, some of them cut off by the border."""

    class Decoder(torch.nn.Module):
        def forward(self, heatmaps):
            return codec.decode(heatmaps)

    points = torch.rand(6, 20, 2, generator=torch.Generator().manual_seed(0)) * 66 - 1
    heatmaps = codec.encode(points, torch.ones(6, 20))[0] * torch.linspace(0.01, 1, 20)[:, None, None]
    batch = {"heatmaps": {0: torch.export.Dim("batch")}}
    program = torch.onnx.export(Decoder(), (heatmaps[:2],), dynamic_shapes=batch, dynamo=True, verbose=False)
    program.save(tmp_path / "decoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    found = session.run(None, {session.get_inputs()[0].name: heatmaps.numpy()})
    expected = [part.numpy() for part in codec.decode(heatmaps)]
    np.testing.assert_allclose(found[0], expected[0], atol=1e-3)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_another_networks_file_is_noticed(tmp_path):
    path = tmp_path / "network.onnx"
    write_onnx(_network("model=tiny"), path)
    with pytest.raises(InputError, match="its keypoints are up to"):
        require_equal(OnnxNetwork(path), _network("model=tiny_resnet"), random_crops((64, 64)), path)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        lynx_pose.load(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match=r"is not a network that lynx_pose\.export wrote"):
        lynx_pose.load(tmp_path / "text.onnx")


@pytest.mark.slow
def test_a_run_is_exported_and_predicts_without_torch(trained, tmp_path):
    shown = run("export", f"run={trained}", f"output={tmp_path}/net.onnx", cwd=tmp_path)
    assert "agree with the network's" in shown.stderr
    assert "net-int8.onnx" in shown.stdout
    small, whole = tmp_path / "net-int8.onnx", tmp_path / "net.onnx"
    assert small.stat().st_size < whole.stat().st_size / 2
    assert onnxruntime.InferenceSession(small).get_inputs()[0].name == "crops"
    images = trained.parent / "data" / "Traps"
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['pytorch_lightning'] = None\n"
        "from lynx_pose.predict import main; main()"
    )
    command = [sys.executable, "-c", code, f"run={whole}", f"images={images}", "output=out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    lines = [json.loads(line) for line in (tmp_path / "out" / "poses.jsonl").read_text().splitlines()]
    estimator = lynx_pose.load(trained, precision="float32")
    for line in lines:
        expected = estimator.predict(images / line["name"])
        points = np.array(line["frames"][0][0]["keypoints"])
        np.testing.assert_allclose(points[:, :2], expected.keypoints[0], atol=5e-3)
    refused = run("export", f"run={trained}", f"output={whole}", cwd=tmp_path, check=False)
    assert "exists already" in refused.stderr
