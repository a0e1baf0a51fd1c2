"""Tompson's refinement: windows of whole cells, whole maps dropped, and places finer than the coarse cells."""

import pytest
import torch
from commandline import QUICK, assert_same_result, run
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.decoding import maximum
from lynx_pose.models.heads.coarse_to_fine import SCALES, WINDOW, CoarseToFine, cut_cells
from lynx_pose.models.pose_net import build_net


def _net(*overrides, keypoints=5):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=["model=tompson", "model.input_size=[64,64]", *overrides])
    torch.manual_seed(0)
    return build_net(config, keypoints)


def test_windows_are_cut_around_their_centres():
    """Cell by cell; beyond the map they are 0."""
    features = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(0))
    centers = torch.tensor([[[5, 7], [0, 15]], [[19, 0], [10, 8]]]).float()
    windows = cut_cells(features, centers, 6).unflatten(0, (2, 2))
    for animal in range(2):
        for keypoint in range(2):
            x, y = (int(value) for value in centers[animal, keypoint])
            for row in range(6):
                for column in range(6):
                    at_y, at_x = y + row - 3, x + column - 3
                    inside = 0 <= at_y < 16 and 0 <= at_x < 20
                    expected = features[animal, :, at_y, at_x] if inside else torch.zeros(3)
                    torch.testing.assert_close(windows[animal, keypoint, :, row, column], expected)


def test_a_hot_cell_comes_to_the_middle_at_every_scale():
    place = torch.tensor([[[37, 22]]])
    for scale in SCALES:
        features = torch.zeros(1, 1, 64 // scale, 64 // scale)
        features[0, 0, 22 // scale, 37 // scale] = 1
        window = cut_cells(features, torch.div(place, scale, rounding_mode="floor"), WINDOW // scale)
        assert window[0, 0].nonzero().tolist() == [[18 // scale, 18 // scale]]


def test_whole_maps_are_dropped_in_training_alone():
    net = _net("head.dropout=0.5")
    drop = net.head.coarse[0]
    maps = drop(torch.ones(4, 128, 8, 8))
    dropped = (maps == 0).flatten(2)
    assert (dropped.all(dim=2) == dropped.any(dim=2)).all()
    assert 0.4 < dropped.all(dim=2).float().mean() < 0.6
    net.eval()
    assert (drop(torch.ones(4, 128, 8, 8)) == 1).all()


def test_every_weight_learns_from_both_losses():
    net = _net()
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    output = net(crops)
    loss = net.head.loss(output, torch.rand(2, 5, 2) * 60, torch.ones(2, 5))
    loss.backward()
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in net.parameters())
    # Without the coarse loss the banks' first layers still learn: they are shared.
    net.zero_grad()
    output = net(crops)
    net.head.loss(output._replace(coarse=output.coarse.detach()), torch.rand(2, 5, 2) * 60, torch.ones(2, 5)).backward()
    assert all(bank[0].weight.grad.abs().sum() > 0 for bank in net.backbone.first)


def test_the_flip_test_averages_the_coarse_maps_alone():
    net = _net().eval()
    crops = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    output, mirrored = net(crops), net(crops.flip(2))
    order = [1, 0, 2, 3, 4]
    averaged = net.head.average_flipped(output, mirrored, order)
    torch.testing.assert_close(averaged.coarse, (output.coarse + net.head.codec.unflip(mirrored.coarse, order)) / 2)
    assert all(one is other for one, other in zip(averaged.first, output.first, strict=True))


def test_a_maximum_far_from_where_training_looked_counts_less(monkeypatch):
    """A false one 15 pixels away is higher; training moved windows with a deviation of 4 pixels."""
    head = _net().eval().head
    coarse = torch.full((1, 5, 8, 8), -1.0)
    coarse[:, :, 3, 4] = 0.8
    windows = torch.zeros(1, 5, WINDOW, WINDOW)
    windows[:, :, 18 - 3, 18 + 2], windows[:, :, 18, 18 + 15] = 1.0, 1.5
    monkeypatch.setattr(head, "fine", lambda first, centers: windows)
    found, scores = head.decode(CoarseToFine(coarse, (), coarse))
    assert found.tolist() == [[[4 * 8 + 2, 3 * 8 - 3]] * 5]
    torch.testing.assert_close(scores, torch.full((1, 5), 0.8))


@pytest.mark.slow
def test_refined_places_are_finer_than_the_coarse_cells():
    """Three pictures by heart. The best that cells of 8 pixels can do is 3.06 pixels on average."""
    net = _net("head.dropout=0", "head.jitter=4", "model.backbone.channels=32")
    crops = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    keypoints = torch.rand(3, 5, 2) * 40 + 10
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(40):
        optimizer.zero_grad()
        net.head.loss(net(crops), keypoints, torch.ones(3, 5)).backward()
        optimizer.step()
    net.eval()
    with torch.inference_mode():
        output = net(crops)
    coarse = maximum(output.coarse)[0] * 8
    refined, scores = net.head.decode(output)
    assert (refined - keypoints).norm(dim=-1).mean() < 1.5
    assert (coarse - keypoints).norm(dim=-1).mean() > 2.5
    torch.testing.assert_close(scores, maximum(output.coarse)[1])


@pytest.mark.slow
def test_a_run_that_is_continued_drops_and_moves_what_it_would_have(data, tmp_path):
    """Random numbers of the network's own depend on seed and step, and not on where the run began."""
    options = ["data=lynx", f"data.root={data}", *QUICK[1:], "model=tompson", "model.input_size=[64,64]", "logger=none"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run("train", *options, "trainer.max_epochs=2", f"hydra.run.dir={whole}", cwd=tmp_path)
    run("train", *options, "trainer.max_epochs=1", f"hydra.run.dir={parts}", cwd=tmp_path)
    run("train", *options, "trainer.max_epochs=2", f"ckpt={parts}/checkpoints/last.ckpt", cwd=tmp_path)
    assert_same_result(parts, whole)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"head.codec.stride must be that of the coarse features, 8"):
        _net("head.codec.stride=4")
    with pytest.raises(InputError, match=r"head.jitter=0: must be above 0"):
        _net("head.jitter=0")
    with pytest.raises(InputError, match=r"model.input_size=\[72,64\]: model=tompson takes multiples of 32"):
        _net("model.input_size=[72,64]")(torch.zeros(1, 64, 72, 3, dtype=torch.uint8))
