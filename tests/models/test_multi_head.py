import functools

import pytest
import torch

from lynx_pose.errors import InputError
from lynx_pose.models.codecs.coordinate_codec import RelativeCoordinates
from lynx_pose.models.codecs.heatmap_codec import ClassicHeatmap, UdpHeatmap
from lynx_pose.models.heads.heatmap import HeatmapHead
from lynx_pose.models.heads.multi import (
    ByConfidence,
    Gate,
    HeatmapAlone,
    InverseVariance,
    LearnedShares,
    MeanOfBoth,
    MultiHead,
)
from lynx_pose.models.heads.regression import RegressionHead
from lynx_pose.models.losses import CoordinateLoss, KeypointMSE

REGRESSION = functools.partial(
    RegressionHead, codec=RelativeCoordinates((64, 64)), loss=CoordinateLoss(torch.nn.SmoothL1Loss(reduction="none"))
)


def _head(combination, codec=None):
    heatmap = functools.partial(HeatmapHead, codec=codec or ClassicHeatmap((64, 64)), loss=KeypointMSE())
    return MultiHead(8, 4, 3, heatmap, REGRESSION, combination)


def _outputs(head, peak):
    """Heatmaps with their maximum `peak` at (32, 32), coordinates at (16, 16)."""
    points = torch.full((1, 3, 2), 32.0)
    heatmaps, _ = head.heatmap.codec.encode(points, torch.ones(1, 3))
    return heatmaps * peak, torch.full((1, 3, 2), 0.25)


@pytest.mark.parametrize(
    ("combination", "peak", "expected"),
    [
        (HeatmapAlone, 1.0, 32.0),
        (Gate, 0.5, 32.0),
        (Gate, 0.2, 16.0),
        (MeanOfBoth, 1.0, 24.0),
        (ByConfidence, 1.0, 32.0),
        (ByConfidence, 0.25, 20.0),
        (LearnedShares, 0.5, 24.0),
    ],
)
def test_predictions_are_combined(combination, peak, expected):
    head = _head(combination)
    keypoints, scores = head.decode(_outputs(head, peak))
    torch.testing.assert_close(keypoints, torch.full((1, 3, 2), expected), atol=0.3, rtol=0)
    torch.testing.assert_close(scores, torch.full((1, 3), peak))


def test_without_a_positive_cell_the_regression_decides():
    head = _head(MeanOfBoth)
    keypoints, scores = head.decode((torch.zeros(1, 3, 16, 16), torch.full((1, 3, 2), 0.25)))
    assert (keypoints == 16).all()
    assert (scores == 0).all()


def test_the_loss_is_the_sum_of_both():
    head = _head(MeanOfBoth)
    output, keypoints, weight = _outputs(head, 0.7), torch.rand(1, 3, 2) * 60, torch.ones(1, 3)
    expected = head.heatmap.loss(output[0], keypoints, weight) + head.regression.loss(output[1], keypoints, weight)
    torch.testing.assert_close(head.loss(output, keypoints, weight), expected)


def test_shares_are_learnt_for_each_keypoint():
    """Keypoint 0 is where the heatmap says, keypoint 1 where the regression says, keypoint 2 half way."""
    head = _head(LearnedShares)
    output = _outputs(head, 1.0)
    keypoints = torch.tensor([[[32.0, 32.0], [16.0, 16.0], [24.0, 24.0]]])
    optimizer = torch.optim.Adam(head.combination.parameters(), lr=5e-3)
    for _ in range(200):
        optimizer.zero_grad()
        head.loss(output, keypoints, torch.ones(1, 3)).backward()
        optimizer.step()
    shares = (head.combination.pace * head.combination.logits).sigmoid().tolist()
    assert shares[0] > 0.9
    assert shares[1] < 0.1
    assert shares[2] == pytest.approx(0.5, abs=0.1)


def test_keypoints_outside_the_crop_teach_no_shares():
    head = _head(LearnedShares)
    output = _outputs(head, 1.0)
    inside = torch.tensor([[[32.0, 32.0], [16.0, 16.0], [24.0, 24.0]]])
    outside = inside.clone()
    outside[0, 0] = torch.tensor([500.0, -300.0])
    head.loss(output, outside, torch.ones(1, 3)).backward()
    assert head.combination.logits.grad[0] == 0
    assert (head.combination.logits.grad[1:2] != 0).all()


def test_a_gate_has_a_threshold_for_each_keypoint():
    head = _head(functools.partial(Gate, thresholds=[0.1, 0.5, 0.9]))
    found, _ = head.decode(_outputs(head, 0.6))
    torch.testing.assert_close(found[0, :, 0], torch.tensor([32.0, 32.0, 16.0]), atol=0.3, rtol=0)
    with pytest.raises(InputError, match="2 for 3 keypoints"):
        _head(functools.partial(Gate, thresholds=[0.1, 0.5]))


def test_shares_follow_the_inverse_of_the_squared_errors():
    """The regression is 16 pixels off along x, the heatmap 8: squared 256 and 64, so the shares are 4 to 1."""
    head = _head(InverseVariance)
    output = _outputs(head, 1.0)
    keypoints = torch.tensor([[[24.0, 32.0], [24.0, 32.0], [900.0, 900.0]]])
    heatmaps, coordinates = output[0], output[1].clone()
    coordinates[..., 0], coordinates[..., 1] = 40 / 64, 0.5
    head.train()
    for _ in range(400):
        head.loss((heatmaps, coordinates), keypoints, torch.ones(1, 3))
    errors = head.combination.errors
    torch.testing.assert_close(errors[:, :2], torch.tensor([[64.0, 64.0], [256.0, 256.0]]), rtol=0.02, atol=1.0)
    assert errors[:, 2].tolist() == [1, 1]
    found, _ = head.decode((heatmaps, coordinates))
    torch.testing.assert_close(found[0, 0], torch.tensor([0.8 * 32 + 0.2 * 40, 32.0]), atol=0.2, rtol=0)


def test_the_combinations_loss_does_not_reach_the_network():
    head = _head(LearnedShares)
    heatmaps, coordinates = (tensor.requires_grad_() for tensor in _outputs(head, 1.0))
    keypoints, weight = torch.full((1, 3, 2), 20.0), torch.ones(1, 3)
    head.loss((heatmaps, coordinates), keypoints, weight).backward()
    alone = coordinates.detach().clone().requires_grad_()
    head.regression.loss(alone, keypoints, weight).backward()
    torch.testing.assert_close(coordinates.grad, alone.grad)


def test_codecs_of_different_crops_are_refused():
    with pytest.raises(InputError, match="different conventions of the crop"):
        _head(MeanOfBoth, UdpHeatmap((64, 64)))
