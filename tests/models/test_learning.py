"""Every head, and every architecture in small, learns three pictures by heart."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.models.pose_net import build_net

HEADS = {
    "heatmap": ["head=heatmap", "head.deconv_channels=32"],
    "regression": ["head=regression"],
    "integral": ["head=integral", "head.deconv_channels=32"],
    "rle": ["head=rle"],
    "simcc": ["head=simcc"],
    "integral3d": ["head=integral3d", "head.deconv_channels=32", "head.codec.stride=8", "head.codec.depth_cells=8"],
    "multi": ["head=multi", "head/combination=learned", "head.heatmap.deconv_channels=32"],
}
SMALL = {
    "hourglass": ["model=hourglass", "head.depth=2", "model.backbone.channels=64"],
    "cpm": ["model=cpm", "head.stages=2"],
    "deeppose": [
        "model=deeppose",
        "model.backbone.name=resnet10t",
        "model.net.refiner.name=resnet10t",
        "model.net.zooms=[0.5]",
        "model.net.window=32",
    ],
    "ief": ["model=ief", "model.backbone.name=resnet10t", "model.net.steps=3"],
    "vit": ["model=vit", "model.backbone.name=vit_tiny_patch16_224", "head.deconv_channels=32"],
    "tompson": ["model=tompson", "head.dropout=0"],
    "autoencoder": ["model=autoencoder", "head.codec.sigma=2.5"],
    "mobilenet": ["model=mobilenet", "model.width=35", "head.deconv_channels=32"],
}
# Cells of the pose machine are 8 pixels wide; the others' bar is 3.5 pixels.
BARS = {"cpm": 5.0}
# Deep networks learn at a lower rate than expectations and classes over coordinates do; a likelihood of points known by
# heart grows steep: its gradient is that of the distance by the deviation.
RATES = dict.fromkeys(("cpm", "deeppose", "ief", "tompson", "rle"), 5e-4) | {"simcc": 5e-3, "integral3d": 5e-3}


def _train(overrides, rate, bar, most_steps=250, every=10):
    """Train on three random pictures until the mean distance is below `bar` pixels of 64; return all distances."""
    torch.manual_seed(0)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=["model=tiny_resnet", *overrides, "model.input_size=[64,64]"])
    net = build_net(config, 5)
    crops = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    # Depth lies before and behind the root.
    keypoints = torch.rand(3, 5, net.head.dimensions) * 40 + torch.tensor([10, 10, -20])[: net.head.dimensions]
    errors = []
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    for step in range(most_steps + 1):
        output = net(crops)
        if step % every == 0:
            errors.append((net.head.decode(output)[0] - keypoints).norm(dim=-1).mean().item())
            if errors[-1] < min(bar, errors[0] / 3):
                break
        optimizer.zero_grad()
        net.head.loss(output, keypoints, torch.ones(3, 5)).backward()
        optimizer.step()
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS | SMALL)
def test_three_pictures_are_learnt_by_heart(name):
    bar = BARS.get(name, 3.5)
    errors = _train((HEADS | SMALL)[name], RATES.get(name, 2e-3), bar)
    assert errors[-1] < min(bar, errors[0] / 3), errors
