"""Integral regression in three dimensions, term by term and in a run."""

import csv
import json

import numpy as np
import pytest
import torch
from commandline import QUICK, run, summary
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.volume_codec import Volume, mean_cell
from lynx_pose.models.heads.integral3d import volume_probabilities
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.callbacks.heatmap_loss_at_end import HeatmapLossAtEnd

CODEC = Volume((32, 24), stride=4, depth_cells=7, depth_range=1.5)


def _head(**options):
    overrides = ["model=tiny_resnet", "head=integral3d", "model.input_size=[64,64]", "head.deconv_channels=8"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[*overrides, *(f"head.{key}={value}" for key, value in options.items())])
    return build_net(cfg, 5).head


def test_the_mean_cell_is_the_sum_over_all_cells():
    """Equations 2 to 4, cell by cell; a lone peak is its own mean."""
    torch.manual_seed(0)
    heatmaps = volume_probabilities(torch.randn(2, 3, 7, 6, 8))
    torch.testing.assert_close(heatmaps.sum(dim=(2, 3, 4)), torch.ones(2, 3))
    expected = torch.zeros(2, 3, 3)
    for z in range(7):
        for y in range(6):
            for x in range(8):
                expected += heatmaps[:, :, z, y, x, None] * torch.tensor([x, y, z])
    torch.testing.assert_close(mean_cell(heatmaps), expected)
    peak = torch.full((1, 1, 7, 6, 8), -1e4)
    peak[0, 0, 2, 5, 1] = 0
    assert mean_cell(volume_probabilities(peak)).flatten().tolist() == [1, 5, 2]


def test_targets_are_the_sources_cubes():
    """Equations 5 to 9, cell by cell: a Gaussian within five cells along each axis."""
    codec = Volume((64, 64), stride=4, depth_cells=16, depth_range=1.5, reach=2)
    points = torch.tensor([[[20.0, 33.0, 7.0], [63.0, 10.0, 0.0]]])
    heatmaps, weight = codec.encode(points, torch.ones(1, 2))
    # The last cell sits at pixel 60: what lies beyond it has no cube.
    assert weight.tolist() == [[1, 0]]
    center = [20 / 4, 33 / 4, 7 / (1.5 * 64 / 16) + 7.5]
    for z in range(16):
        for y in range(16):
            for x in range(16):
                distance = np.array([x, y, z]) - center
                inside = (np.abs(distance) <= 2).all()
                expected = np.exp(-(distance**2).sum() / 2) if inside else 0.0
                assert float(heatmaps[0, 0, z, y, x]) == pytest.approx(expected, abs=1e-6)


def test_cells_and_pixels_are_each_others_inverse():
    points = torch.rand(4, 5, 3) * 20 - torch.tensor([0.0, 0.0, 10.0])
    torch.testing.assert_close(CODEC.to_crop(CODEC.to_cells(points)), points)
    # The root's depth is the middle of the volume.
    assert CODEC.to_cells(torch.zeros(1, 3))[0, 2] == 3


def test_a_mirrored_volume_is_turned_back():
    """A keypoint at a cell is mirrored to within a cell, to the other side of its pair, at the same depth."""
    order = [1, 0]
    points = torch.tensor([[[12.0, 8.0, 3.0], [20.0, 16.0, -6.0]]])
    mirrored = points[:, order] * torch.tensor([-1.0, 1.0, 1.0]) + torch.tensor([31.0, 0.0, 0.0])
    heatmaps, _ = CODEC.encode(mirrored, torch.ones(1, 2))
    turned_back = CODEC.unflip(heatmaps, order)
    cells = mean_cell(turned_back / turned_back.sum(dim=(2, 3, 4), keepdim=True))
    torch.testing.assert_close(CODEC.to_crop(cells), points, atol=4, rtol=0)
    assert (CODEC.to_crop(cells)[..., 2] - points[..., 2]).abs().max() < 1


def test_the_loss_is_the_mean_distance_along_each_axis():
    """In fractions of the crop's sides; what lies outside, or beyond the volume's depth, teaches nothing there."""
    head = _head(heatmap_weight=0)
    torch.manual_seed(0)
    output = torch.randn(2, 5, 32, 16, 16, requires_grad=True)
    points = torch.rand(2, 5, 3) * 40 + 5
    points[0, 0, 2], points[0, 1, 0] = 70.0, 90.0
    weight = torch.ones(2, 5)
    weight[1, 4] = 0
    found = head.decode(output)[0].detach()
    expected = 0.0
    for animal in range(2):
        for keypoint in range(5):
            for axis in range(3):
                absent = (animal, keypoint) in ((0, 1), (1, 4)) or (animal, keypoint, axis) == (0, 0, 2)
                if not absent:
                    expected += abs(float(found[animal, keypoint, axis] - points[animal, keypoint, axis])) / 64 / 30
    loss = head.loss(output, points, weight)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    head.heatmap_weight = 0.01
    both = head.loss(output, points, weight)
    assert float(both) > float(loss)
    both.backward()
    assert torch.isfinite(output.grad).all()


def test_the_schedule_brings_the_heatmap_loss_in_at_the_end():
    schedule = HeatmapLossAtEnd(begin=0.8, weight=0.005)
    with pytest.raises(InputError, match=r"begin=2: must be a share of the epochs"):
        HeatmapLossAtEnd(begin=2, weight=1)
    assert schedule.weight_in(7, 10) == 0
    assert schedule.weight_in(8, 10) == 0.005


@pytest.mark.slow
def test_a_run_learns_depth_and_keeps_the_epoch_of_the_lowest_error(tmp_path):
    """And what it finds in an image is predicted as by any network."""
    root = f"data.root={tmp_path}/synthetic"
    options = ["experiment=integral3d", root, "data.images=8", *QUICK[1:], "logger=none", "model.input_size=[64,64]"]
    options += ["trainer.max_epochs=3", "keep_poses_at=[]"]
    run("train", *options, "hydra.run.dir=run", cwd=tmp_path)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    best = summary(tmp_path / "run")["best"]
    assert best["MPJPE"] == min(float(row["val/MPJPE"]) for row in rows)
    assert all(0 < float(row["val/depth_error"]) < float(row["val/MPJPE"]) for row in rows)
    predictions = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert all(len(found["depth"]) == 20 for found in predictions)
    run("evaluate", "run", "hydra.run.dir=evaluated", cwd=tmp_path)
    evaluated = json.loads((tmp_path / "evaluated" / "evaluation.json").read_text())["metrics"]
    assert evaluated["MPJPE"] == pytest.approx(best["MPJPE"], rel=1e-6)
    image = next((tmp_path / "synthetic").rglob("*.jpg"))
    run("predict", "run=run", f"images={image}", "output=found", cwd=tmp_path)
    assert len((tmp_path / "found" / "poses.csv").read_text().splitlines()) == 2


def test_data_without_a_third_dimension_is_refused(data, tmp_path):
    options = ["data=lynx", f"data.root={data}", "model=tiny_resnet", "head=integral3d", *QUICK[1:], "logger=none"]
    done = run("train", *options, "hydra.run.dir=run", cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert "has no third dimension, which this head learns; data=synthetic has" in done.stdout + done.stderr
