"""Hourglass, pose machine, DeepPose's cascade and iterative error feedback."""

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.models.heads.refinement import bounded
from lynx_pose.models.nets.deeppose import cut_windows
from lynx_pose.models.nets.ief import draw_poses
from lynx_pose.models.pose_net import build_net

SMALL = {
    "hourglass": ["head.stacks=3", "head.depth=3"],
    "cpm": ["head.stages=3"],
    "deeppose": ["model.backbone.name=resnet10t", "model.net.refiner.name=resnet10t"],
    "ief": ["model.backbone.name=resnet10t"],
}


def _net(model, *overrides, keypoints=5):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"model={model}", "model.input_size=[64,64]", *overrides])
    return build_net(config, keypoints)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("hourglass", (2, 3, 5, 16, 16)),
        ("cpm", (2, 3, 5, 8, 8)),
        ("deeppose", (2, 3, 5, 2)),
        ("ief", (2, 5, 5, 2)),
    ],
)
def test_every_stage_is_put_out_and_supervised(model, shape):
    torch.manual_seed(0)
    net = _net(model, *SMALL[model])
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    output = net(crops)
    assert output.shape == shape
    output.retain_grad()
    net.head.loss(output, torch.rand(2, 5, 2) * 60, torch.ones(2, 5)).backward()
    touched = output.grad.flatten(2).abs().sum(dim=(0, 2)) > 0
    assert touched.all()
    assert all(parameter.grad is not None for parameter in net.parameters())
    keypoints, scores = net.head.decode(output)
    assert keypoints.shape == (2, 5, 2)
    assert scores.shape == (2, 5)
    averaged = net.head.average_flipped(output, output, [1, 0, 2, 3, 4])
    assert net.head.decode(averaged)[0].shape == (2, 5, 2)


def test_a_pose_machine_learns_the_background_and_puts_out_keypoints_alone():
    torch.manual_seed(0)
    net = _net("cpm", "head.stages=2", "head.background=true", "head.center=4")
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    output = net(crops)
    assert output.shape == (2, 2, 6, 8, 8)
    keypoints, weight = torch.full((2, 5, 2), 24.0), torch.tensor([[1.0] * 5, [1, 1, 0, 0, 0]])
    maps, _ = net.head.codec.encode(keypoints, weight)
    expected = 0.0
    for image, share in ((0, 1), (1, 0.4)):
        background = 1 - maps[image].max(dim=0).values
        for stage in range(2):
            own = (output[image, stage, :5] - maps[image]).square().mean(dim=(-2, -1)) @ weight[image]
            expected += own + share * (output[image, stage, 5] - background).square().mean()
    assert net.head.loss(output, keypoints, weight).item() == pytest.approx(expected.item() / 2, rel=1e-5)
    assert net.head.decode(output)[0].shape == (2, 5, 2)
    averaged = net.head.average_flipped(output, output, [1, 0, 2, 3, 4])
    assert net.head.decode(averaged)[0].shape == (2, 5, 2)
    center = net.head._center_map(output[:, 0])
    assert torch.equal(center, center.flip(-1))
    assert center[0, 0, 3, 3] == center.max()


def test_the_last_stage_is_the_prediction():
    net = _net("hourglass", *SMALL["hourglass"])
    target, _ = net.head.codec.encode(torch.full((1, 5, 2), 24.0), torch.ones(1, 5))
    output = torch.stack([target.flip(-1), target.flip(-2), target], dim=1)
    assert (net.head.decode(output)[0] == 24).all()


def test_hourglasses_feed_their_heatmaps_forward():
    net = _net("hourglass", *SMALL["hourglass"]).eval()
    features = torch.rand(1, 256, 16, 16)
    before = net.head(features)
    net.head.outputs[0].bias.data += 1
    after = net.head(features)
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_windows_are_cut_where_the_keypoints_are():
    pixels = torch.rand(2, 3, 64, 64)
    poses = torch.tensor([[[0.5, 0.25], [0.0, 0.0]], [[0.75, 0.5], [1.0, 1.0]]])
    windows = cut_windows(pixels, poses, zoom=0.25, side=16).view(2, 2, 3, 16, 16)
    # A window of a quarter of 64 pixels, 16 wide, begins 7.5 pixels before its keypoint: halfway between pixels.
    shifted = (pixels[..., :-1] + pixels[..., 1:]) / 2
    between = (shifted[..., :-1, :] + shifted[..., 1:, :]) / 2
    np.testing.assert_allclose(windows[0, 0], between[0, :, 8:24, 24:40], atol=1e-5)
    np.testing.assert_allclose(windows[1, 0], between[1, :, 24:40, 40:56], atol=1e-5)
    assert (windows[0, 1, :, :7, :7] == 0).all()
    assert (windows[1, 1, :, 9:, 9:] == 0).all()


def test_each_window_corrects_its_own_keypoint():
    net = _net("deeppose", *SMALL["deeppose"], "model.net.zooms=[0.5]").eval()
    crops = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    net.corrections[0][-1].weight.data.zero_()
    net.corrections[0][-1].bias.data = torch.arange(10.0)
    output = net(crops)
    moves = (output[0, 1] - output[0, 0]) / 0.5
    torch.testing.assert_close(moves, torch.arange(10.0).view(5, 2))


def test_poses_are_drawn_as_gaussians():
    drawn = draw_poses(torch.tensor([[[0.5, 0.25], [0.0, 1.5]]]), (32, 64), sigma=2.0)
    assert drawn.shape == (1, 2, 64, 32)
    assert drawn[0, 0, 16, 16] == 1
    assert drawn[0, 0, 16, 18] == pytest.approx(np.exp(-0.5), rel=1e-5)
    assert drawn[0, 1].max() < 1e-6


def test_corrections_are_bounded():
    vectors = torch.tensor([[3.0, 4.0], [0.03, 0.04], [0.0, 0.0]])
    torch.testing.assert_close(bounded(vectors, 0.5), torch.tensor([[0.3, 0.4], [0.03, 0.04], [0.0, 0.0]]))


def test_the_first_pose_becomes_the_median():
    net = _net("ief", *SMALL["ief"])
    start = net.head.start
    poses = torch.rand(9, 5, 2) * 40 + 10
    optimizer = torch.optim.Adam([start], lr=5e-3)
    for _ in range(400):
        optimizer.zero_grad()
        output = start.expand(9, 1, -1, -1)
        net.head.loss(torch.cat([output, output.detach()], dim=1), poses, torch.ones(9, 5)).backward()
        optimizer.step()
    torch.testing.assert_close(start.detach(), poses.median(dim=0).values / 64, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("model", "option", "message"),
    [
        ("hourglass", "head.stacks=9", "must be 1 to 8"),
        ("hourglass", "model.input_size=[80,64]", "multiple of 64"),
        ("cpm", "head.codec.stride=4", "stride must be that of the features, 8"),
    ],
)
def test_what_does_not_fit_is_refused(model, option, message):
    with pytest.raises(InputError, match=message):
        _net(model, option)


@pytest.mark.parametrize(("width", "millions"), [(35, 2.8), (100, 5.2)])
def test_mobilenets_width_is_an_option(width, millions):
    net = _net("mobilenet", f"model.width={width}", keypoints=20)
    assert sum(parameter.numel() for parameter in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
