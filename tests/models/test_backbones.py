"""Backbones: what they hand to heads, and the mean and deviation that their weights want."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.models.backbones import FeaturePyramid
from lynx_pose.models.pose_net import build_net


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
