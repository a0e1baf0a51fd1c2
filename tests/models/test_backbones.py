"""Backbones: what they hand to heads, and the mean and deviation that their weights want."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.models.backbones import FeaturePyramid
from lynx_pose.models.pose_net import build_net
from lynx_pose.prediction.torch_network import TorchNetwork
from lynx_pose.training.build import freeze_unused


def _net(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_net(compose("train", overrides=list(overrides)), 20)


def test_a_pyramid_adds_each_coarser_map_to_the_finer_one():
    """Beside a slow reading of the paper's figure, map by map."""
    torch.manual_seed(0)
    pyramid = FeaturePyramid("mobilenetv2_035", channels=8).eval()
    image = torch.randn(2, 3, 64, 96)
    maps = pyramid.body(image)
    result = pyramid.lateral[3](maps[3])
    for level in (2, 1, 0):
        larger = result.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        result = pyramid.smooth[level]((larger + pyramid.lateral[level](maps[level])).clamp(min=0)).clamp(min=0)
    assert result.shape == (2, 8, 16, 24)
    torch.testing.assert_close(pyramid(image)[0], result)
    assert (pyramid.feature_info.channels(), pyramid.feature_info.reduction()) == ([8], [4])


def test_maps_that_do_not_double_are_refused():
    with pytest.raises(InputError, match=r"out_indices=\[1, 3\].*needs each to double"):
        FeaturePyramid("mobilenetv2_035", out_indices=(1, 3))


@pytest.mark.parametrize(("model", "mean"), [("vit", 0.5), ("tiny", 0.485), ("hourglass", 0.485)])
def test_pixels_are_normalized_as_the_weights_want(model, mean):
    net = _net(f"model={model}", "model.input_size=[64,64]")
    assert net.mean.flatten()[0] == pytest.approx(255 * mean)
    grey = torch.full((1, 8, 8, 3), 200, dtype=torch.uint8)
    expected = (200 / 255 - mean) / (net.std.flatten()[0].item() / 255)
    assert net.normalize(grey)[0, 0, 0, 0].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("overrides", "heatmaps"),
    [
        (("model=convnext", "model.backbone.name=convnext_atto", "model.input_size=[64,96]"), (24, 16)),
        (("model=dinov2", "model.input_size=[56,84]"), (24, 16)),
        (("model=dinov3", "model.input_size=[64,96]"), (24, 16)),
        (("model=vit", "model.backbone.name=swin_tiny_patch4_window7_224", "model.input_size=[224,224]"), (56, 56)),
    ],
)
def test_backbones_of_today(overrides, heatmaps):
    """Each with the head that it comes with; the loss reaches the first layer."""
    net = _net(*overrides)
    (width, height) = net.head.codec.input_size
    output = net(torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8))
    assert output.shape == (2, 20, *heatmaps)
    net.head.loss(output, torch.rand(2, 20, 2) * width, torch.ones(2, 20)).backward()
    first = next(net.backbone.parameters())
    assert first.grad.abs().sum() > 0


def test_a_network_for_other_crops_is_refused_in_words():
    net = _net("model=r50", "model.backbone.name=swin_tiny_patch4_window7_224", "model.input_size=[256,256]")
    with pytest.raises(InputError, match=r"model.input_size=\[256,256\]: the network takes no such crops"):
        freeze_unused(net, (256, 256), 20)


@pytest.mark.parametrize(
    ("overrides", "side"),
    [
        (("model=vit", "model.backbone.name=swin_tiny_patch4_window7_224"), 224),
        (("model=mobilenet_fpn", "model.backbone.name=mobilenetv2_035"), 64),
        (("model=convnext", "model.backbone.name=convnext_atto"), 64),
    ],
)
def test_a_network_that_is_prepared_for_prediction_finds_the_same(overrides, side):
    torch.manual_seed(0)
    net = _net(*overrides, f"model.input_size=[{side},{side}]")
    network = TorchNetwork(net, ANIMAL_POSE_20, (side, side), False, "float32")
    crops = torch.randint(0, 256, (2, side, side, 3), dtype=torch.uint8)
    with torch.inference_mode():
        before = net(crops)
        network.fold_batchnorm()
        torch.testing.assert_close(net(crops), before, rtol=1e-3, atol=1e-5)
