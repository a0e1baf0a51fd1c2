"""What is built of a configuration, and what is frozen of it."""

import copy
from dataclasses import replace

import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import build_datamodule, build_task, freeze_unused, read_annotations


@pytest.mark.parametrize(
    ("options", "some"),
    [(["model=tiny"], True), (["model=tiny_resnet"], False), (["model=tiny_resnet", "head=rle"], False)],
)
def test_frozen_parameters_are_those_that_a_step_leaves_alone(options, some):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*options, "model.input_size=[64,64]"])
    torch.manual_seed(0)
    net = build_net(cfg, 5)
    free = copy.deepcopy(net)
    frozen = freeze_unused(net, (64, 64), 5)
    assert bool(frozen) == some
    for name, tensor in free.state_dict().items():
        assert torch.equal(tensor, net.state_dict()[name])
    before = {name: parameter.detach().clone() for name, parameter in free.named_parameters()}
    optimizer = torch.optim.SGD(free.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        image = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8)
        loss = free.head.loss(free(image), 64 * torch.rand(4, 5, 2), torch.ones(4, 5))
        loss.backward()
        optimizer.step()
    still = [name for name, parameter in free.named_parameters() if torch.equal(parameter, before[name])]
    assert set(frozen) <= set(still)
    assert all(free.get_parameter(name).grad is None for name in frozen)
    assert all(free.get_parameter(name).grad is not None for name in before if name not in frozen)


@pytest.mark.parametrize("mirrorable", [True, False])
def test_the_flip_test_is_left_out_where_nobody_knows_what_swaps(small_lynx, mirrorable):
    """In training, and in what a checkpoint says to prediction."""
    options = ["model=tiny", "model.input_size=[64,64]", "data=lynx", f"data.root={small_lynx}", "data.cache=none"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", options)
    annotations = read_annotations(cfg)
    skeleton = replace(annotations.skeleton, mirrorable=mirrorable)
    net = build_net(cfg, len(skeleton))
    datamodule = build_datamodule(cfg, replace(annotations, skeleton=skeleton), net.head.crop_convention)
    task = build_task(cfg, net, datamodule)
    assert (task.flip_indices is not None) == mirrorable
    assert task.metadata["config"]["flip_test"] == mirrorable
    assert cfg.flip_test
