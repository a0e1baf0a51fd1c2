"""Heatmaps that are corrected by each other: term by term, and where it must help."""

import math

import numpy as np
import pytest
import torch

from lynx_pose.models.heads.spatial_model import SpatialModel


def _softplus(value):
    return math.log1p(math.exp(value))


def _sharp(value):
    return math.log1p(math.exp(8 * value)) / 8


def test_corrected_maps_are_products_of_messages_cell_by_cell():
    torch.manual_seed(0)
    model = SpatialModel(3, (4, 3))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    maps = torch.randn(1, 3, 3, 4)
    kernels, constants = model.kernels.detach().numpy(), model.constants.detach().numpy()
    corrected = model(maps)[0].detach().numpy()
    for keypoint in range(3):
        for row in range(3):
            for column in range(4):
                product = 1.0
                for other in (number for number in range(3) if number != keypoint):
                    message = sum(
                        _softplus(kernels[keypoint, other, 2 + y - row, 3 + x - column]) * _sharp(maps[0, other, y, x])
                        for y in range(3)
                        for x in range(4)
                    )
                    product *= message + _softplus(constants[keypoint, other])
                value = _sharp(maps[0, keypoint, row, column]) * product ** (1 / 2)
                expected = value * model.gain[keypoint].item() + model.offset[keypoint].item()
                assert corrected[keypoint, row, column] == pytest.approx(expected, rel=1e-4)


def test_at_first_it_changes_no_maximum():
    maps = torch.rand(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    corrected = SpatialModel(5, (8, 8))(maps)
    inner = maps.flatten(2).argmax(dim=2)
    assert (corrected.flatten(2).argmax(dim=2) == inner).float().mean() > 0.8


def _ambiguous(count, rng):
    """Draw maps of two keypoints: the first has one peak, the second one at +4 cells and a higher one at −4."""
    maps, truth = np.zeros((count, 2, 12, 12), np.float32), np.zeros((count, 2, 12, 12), np.float32)
    for number in range(count):
        row, column = rng.integers(0, 12), rng.integers(4, 8)
        for one in (maps, truth):
            one[number, 0, row, column] = 1
        truth[number, 1, row, column + 4] = 1
        maps[number, 1, row, column + 4], maps[number, 1, row, column - 4] = 0.8, 1
    return torch.from_numpy(maps), torch.from_numpy(truth)


def test_of_two_peaks_it_learns_to_take_the_one_where_the_other_keypoint_wants_it():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = SpatialModel(2, (12, 12))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        maps, truth = _ambiguous(32, rng)
        optimizer.zero_grad()
        (model(maps) - truth).square().mean().backward()
        optimizer.step()
    maps, truth = _ambiguous(50, rng)
    places, wanted = (one[:, 1].flatten(1).argmax(dim=1) for one in (model(maps), truth))
    assert (maps[:, 1].flatten(1).argmax(dim=1) != wanted).all()
    assert (places == wanted).float().mean() > 0.95
