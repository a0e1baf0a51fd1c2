"""Which place in a heatmap is meant, when its highest peak is a false one."""

import numpy as np
import pytest
import torch
from commandline import QUICK, run, summary
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.models.heads.peak_choice import ChosenPlaces
from lynx_pose.models.nets.autoencoder import Encoder
from lynx_pose.models.pose_net import build_net


def _config(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=["model=peak_choice", "model.input_size=[64,64]", *overrides])


def test_confidence_is_the_heatmaps_value_at_the_chosen_place():
    head = build_net(_config(), 2).head
    heatmaps = torch.rand(1, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    keypoints, scores = head.decode(ChosenPlaces(torch.tensor([[[0.25, 0.5], [0.99, 0.0]]]), heatmaps))
    assert keypoints[0].tolist() == [[16, 32], pytest.approx([63.36, 0])]
    assert scores[0].tolist() == [heatmaps[0, 0, 32, 16], heatmaps[0, 1, 0, 63]]


def test_the_network_of_heatmaps_is_not_trained():
    torch.manual_seed(0)
    net = build_net(_config(), 2).train()
    before = {name: value.clone() for name, value in net.heatmaps.state_dict().items()}
    image = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    net.head.loss(net(image), torch.full((2, 2, 2), 30.0), torch.ones(2, 2)).backward()
    assert all(parameter.grad is None for parameter in net.heatmaps.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.heatmaps.state_dict().items())
    assert any(parameter.grad is not None for parameter in net.backbone.parameters())


def _planted(count, rng):
    """Draw a left and a right point, the left one further left; each heatmap has a higher peak at the other's place."""
    cells = np.arange(64)
    maps, truth = np.zeros((count, 2, 64, 64), np.float32), np.zeros((count, 2, 2), np.float32)
    for number in range(count):
        left, right = (rng.uniform((low, 8), (low + 16, 56)) for low in (6, 40))
        truth[number] = left, right
        for keypoint, (own, other) in enumerate(((left, right), (right, left))):
            for place, height in ((own, 0.8), (other, 1.0)):
                x, y = (np.exp(-((cells - value) ** 2) / 2 / 4**2) for value in place)
                maps[number, keypoint] += height * y[:, None] * x[None]
    return torch.from_numpy(maps), torch.from_numpy(truth)


@pytest.mark.slow
def test_a_higher_peak_on_the_wrong_side_is_not_chosen():
    """Where argmax is wrong of every keypoint by half of the crop."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    net = build_net(_config(), 2).train()
    assert isinstance(net.backbone, Encoder)
    optimizer = torch.optim.Adam([*net.backbone.parameters(), *net.head.parameters()], lr=1e-3)
    for _ in range(60):
        maps, truth = _planted(12, rng)
        optimizer.zero_grad()
        net.head.loss(net.choose(torch.zeros(12, 3, 64, 64), maps), truth, torch.ones(12, 2)).backward()
        optimizer.step()
    maps, truth = _planted(32, rng)
    net.eval()
    with torch.no_grad():
        chosen = net.head.decode(net.choose(torch.zeros(32, 3, 64, 64), maps))[0]
    highest = maps.flatten(2).argmax(dim=2)
    by_argmax = torch.stack([highest % 64, highest // 64], dim=-1)
    assert (by_argmax - truth).norm(dim=-1).median() > 20
    error = (chosen - truth).norm(dim=-1).median()
    assert error < 8, error


@pytest.mark.slow
def test_it_starts_from_a_run_of_the_autoencoder(tmp_path):
    """By command: pretrained heatmaps go in as a part, and come out as they were."""
    options = [*QUICK, "aug=none", "model.epochs=1", "data.images=4", "data.split=shared", "logger=none"]
    options += ["model.input_size=[64,64]", f"data.root={tmp_path / 'data'}"]
    run("train", *options, "model=autoencoder", "head.codec.sigma=2.5", "hydra.run.dir=first", cwd=tmp_path)
    start = ["init=run", "init.path=first", "init.into=heatmaps.", "model.net.heatmap_head.codec.sigma=2.5"]
    process = run("train", *options, "model=peak_choice", *start, "hydra.run.dir=second", cwd=tmp_path)
    assert summary(tmp_path / "second")["status"] == "completed"
    first, second = (
        torch.load(tmp_path / name / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        for name in ("first", "second")
    )
    kept = {name.removeprefix("net."): value for name, value in first.items()}
    taken = {name.removeprefix("net.heatmaps."): v for name, v in second.items() if name.startswith("net.heatmaps.")}
    assert kept.keys() == taken.keys()
    assert all(torch.equal(kept[name], taken[name]) for name in kept)
    assert "loaded" in process.stderr
