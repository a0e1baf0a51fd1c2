"""Backbones, head, loss and schedule."""

import numpy as np
import pytest
import timm
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.models.backbones import timm_backbone
from lynx_pose.models.losses import KeypointMSE, KeypointSSE
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.optimizer import adamw
from lynx_pose.training.schedule import WarmupCosine, WarmupMultiStep


def _net(*overrides, keypoints=20):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_net(compose("train", overrides=list(overrides)), keypoints)


@pytest.mark.parametrize(("model", "millions"), [("hrnet", 28.54), ("r50", 34.00), ("r152", 68.64)])
def test_parameters_are_the_published_networks(model, millions):
    net = _net(f"model={model}")
    used = sum(p.numel() for name, p in net.named_parameters() if not _fuse_of_other_outputs(name, model))
    assert used / 1e6 == pytest.approx(millions, abs=0.006)


def _fuse_of_other_outputs(name, model):
    """HRNet's last stage also fuses into coarser maps, which a heatmap head never uses."""
    return (
        model == "hrnet"
        and name.startswith("backbone.stage4.2.fuse_layers.")
        and not name.startswith("backbone.stage4.2.fuse_layers.0.")
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=tiny"],
        ["model=tiny_resnet"],
        ["model=tiny_resnet", "model.backbone.name=mobilenetv3_small_050"],
        ["model=tiny_resnet", "model.backbone.name=convnext_atto"],
        ["model=tiny", "head/codec=udp"],
    ],
)
def test_networks_give_heatmaps_of_a_quarter_of_the_crop(overrides):
    net = _net(*overrides).eval()
    crops = torch.zeros(2, 128, 128, 3, dtype=torch.uint8)
    assert net(crops).shape == (2, 20, 32, 32)


def test_colours_are_normalised_as_imagenet_networks_expect():
    net = _net("model=tiny")
    seen = {}
    net.backbone.register_forward_pre_hook(lambda module, inputs: seen.update(pixels=inputs[0]))
    crop = torch.randint(0, 256, (1, 128, 128, 3), dtype=torch.uint8)
    net(crop)
    expected = (crop[0, 5, 9].double() / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    np.testing.assert_allclose(seen["pixels"][0, :, 5, 9], expected, atol=1e-5)
    assert seen["pixels"].is_contiguous(memory_format=torch.channels_last)


def test_memory_layout_changes_nothing_but_the_layout():
    crop = torch.randint(0, 256, (2, 128, 128, 3), dtype=torch.uint8)
    last, first = (_net("model=tiny_resnet", f"channels_last={value}").eval() for value in ("true", "false"))
    first.load_state_dict(last.state_dict())
    layouts = [
        net.backbone.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last) for net in (last, first)
    ]
    assert layouts == [True, False]
    torch.testing.assert_close(last(crop), first(crop), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("name", ["resnet5", "no_such_net"])
def test_an_unknown_backbone_is_named(name):
    with pytest.raises(InputError, match=rf"model.backbone.name={name}: timm has no such network"):
        timm_backbone(name)


def test_a_feature_map_that_is_too_fine_is_refused():
    with pytest.raises(InputError, match="stride 2"):
        _net("model=tiny_resnet", "model.backbone.out_index=0")


def test_loss_is_equation_6():
    generator = torch.Generator().manual_seed(0)
    output, target = (torch.rand(2, 3, 4, 5, generator=generator) for _ in range(2))
    weight = torch.tensor([[1.0, 0.0, 2.0], [0.5, 1.0, 0.0]])
    by_hand = 0.0
    for b in range(2):
        for k in range(3):
            squares = sum((output[b, k, i, j] - target[b, k, i, j]) ** 2 for i in range(4) for j in range(5))
            by_hand += weight[b, k] * squares / (4 * 5)
    assert KeypointMSE()(output, target, weight) == pytest.approx(float(by_hand / 2), rel=1e-5)


def test_the_sum_over_cells_is_the_mean_times_their_number():
    output, target, weight = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5), torch.rand(2, 3)
    torch.testing.assert_close(KeypointSSE()(output, target, weight), 20 * KeypointMSE()(output, target, weight))


LOSSES = {
    "heatmap": "lynx_pose.models.losses.KeypointMSE",
    "simcc": "lynx_pose.models.heads.simcc.BinKL",
    "rle": "{_target_: lynx_pose.models.heads.rle.RLELoss, flow: {_target_: lynx_pose.models.heads.rle.RealNVP}}",
    "regression": "{_target_: lynx_pose.models.losses.CoordinateLoss, elementwise: {_target_: torch.nn.L1Loss,"
    " reduction: none}}",
}


@pytest.mark.parametrize("head", LOSSES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_that_a_head_cannot_use_is_refused(head, loss):
    given = LOSSES[loss] if LOSSES[loss].startswith("{") else f"{{_target_: {LOSSES[loss]}}}"
    net = _net("model=tiny_resnet", f"head={head}", "~head.loss", f"+head.loss={given}")
    output = net(torch.zeros(2, 128, 128, 3, dtype=torch.uint8))
    arguments = output, torch.full((2, 20, 2), 60.0), torch.ones(2, 20)
    if head == loss:
        assert torch.isfinite(net.head.loss(*arguments))
    else:
        with pytest.raises(InputError, match="which this head does not put out"):
            net.head.loss(*arguments)


def test_keypoint_weights_scale_the_keypoints_loss():
    net = _net("model=tiny")
    output = torch.rand(1, 20, 32, 32, requires_grad=True)
    keypoints = torch.full((1, 20, 2), 60.0)
    weights = torch.ones(1, 20)
    weights[0, 3] = 2.0
    net.head.loss(output, keypoints, weights).backward()
    target = net.head.codec.encode(keypoints, torch.ones(1, 20))[0]
    errors = output.detach() - target
    torch.testing.assert_close(output.grad, 2 * weights[..., None, None] * errors / 32**2)


def test_invisible_keypoints_take_no_part():
    net = _net("model=tiny")
    output = torch.rand(1, 20, 32, 32, requires_grad=True)
    visible = torch.zeros(1, 20, dtype=torch.bool)
    visible[0, 3] = True
    net.head.loss(output, torch.full((1, 20, 2), 60.0), visible).backward()
    touched = output.grad.abs().sum(dim=(0, 2, 3)) > 0
    assert touched.nonzero().flatten().tolist() == [3]


def test_rates_are_the_thesis_rates():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=5e-4)
    schedule = WarmupMultiStep(optimizer, 40, warmup_epochs=5, warmup_start=1e-4, milestones=[45, 100, 140], gamma=0.3)
    rates = []
    for _ in range(180 * 40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    at = {epoch: rates[epoch * 40] for epoch in (0, 5, 44, 45, 100, 140, 179)}
    assert at == pytest.approx({0: 5e-8, 5: 5e-4, 44: 5e-4, 45: 1.5e-4, 100: 4.5e-5, 140: 1.35e-5, 179: 1.35e-5})
    warmup = np.diff(rates[:200])
    np.testing.assert_allclose(warmup, warmup[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "epochs", "milestones"),
    [("hrnet", 180, [45, 100, 140]), ("r50", 180, [45, 100, 140]), ("r152", 190, [50, 110, 160])],
)
def test_configured_schedules_are_the_thesis_schedules(model, epochs, milestones):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[f"model={model}", "aug=color"])
    assert config.trainer.max_epochs == epochs
    assert list(config.schedule.milestones) == milestones
    assert (config.schedule.gamma, config.schedule.warmup_epochs, config.schedule.warmup_start) == (
        0.3,
        5,
        1e-4,
    )
    assert (config.optimizer.lr, config.loader.batch_size, config.head.codec.sigma) == (5e-4, 32, 2.0)


def test_the_cosine_falls_from_the_end_of_the_warm_up_to_nothing():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = WarmupCosine(optimizer, steps_per_epoch=10, warmup_epochs=1, epochs=5)
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:10] == pytest.approx([2 * step / 11 for step in range(1, 11)])
    angles = np.linspace(0, np.pi, 41)[:-1]
    assert rates[10:] == pytest.approx(list(1 + np.cos(angles)))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_adamw_decays_what_multiplies_and_steps_less_in_the_backbone():
    """After one step with gradients of one, each parameter has moved by its rate and its decay."""
    net = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in ("backbone", "head")})
    start = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    optimizer = adamw(net.named_parameters(), lr=0.1, weight_decay=0.5, backbone_factor=0.2)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for name, parameter in net.named_parameters():
        rate = 0.02 if name.startswith("backbone") else 0.1
        decayed = start[name] * (1 - rate * 0.5) if name.endswith("weight") else start[name]
        torch.testing.assert_close(parameter.detach(), decayed - rate)


def test_layers_far_from_the_head_step_less():
    """By hand for a network of a stem, two numbered blocks and a head."""
    body = torch.nn.ModuleDict(
        {"stem": torch.nn.Linear(2, 2), "blocks": torch.nn.ModuleList(map(torch.nn.Linear, *[[2, 2]] * 2))}
    )
    net = torch.nn.ModuleDict({"backbone": body, "head": torch.nn.Linear(2, 2)})
    optimizer = adamw(net.named_parameters(), lr=0.1, weight_decay=0.5, backbone_factor=1.0, layer_decay=0.5)
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["param_names"]}
    expected = {"backbone.stem": 0.0125, "backbone.blocks.0": 0.025, "backbone.blocks.1": 0.05, "head": 0.1}
    assert rates == {f"{layer}.{kind}": rate for layer, rate in expected.items() for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("name", "layers"), [("vit_tiny_patch16_224", 12 + 2), ("resnet18", 8 + 2), ("mobilenetv2_100", 17 + 2)]
)
def test_blocks_of_timm_networks_are_layers(name, layers):
    net = torch.nn.ModuleDict({"backbone": timm.create_model(name, features_only=True)})
    optimizer = adamw(net.named_parameters(), lr=1.0, weight_decay=0, backbone_factor=1.0, layer_decay=0.5)
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["param_names"]}
    assert sorted(set(rates.values())) == [0.5**layer for layer in range(layers, 0, -1)]
    assert next(iter(rates.values())) == 0.5**layers
