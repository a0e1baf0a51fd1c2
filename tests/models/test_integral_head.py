import numpy as np
import torch

from lynx_pose.models.codecs.decoding import Argmax, Dark, Expectation, QuarterShift
from lynx_pose.models.codecs.heatmap_codec import ClassicHeatmap
from lynx_pose.models.heads.integral import IntegralHead
from lynx_pose.models.losses import CoordinateLoss, KeypointBCE

L1 = CoordinateLoss(torch.nn.L1Loss(reduction="none"))


def _head(decoding=None, heatmap_loss=None):
    codec = ClassicHeatmap((64, 64), decoding=decoding or Expectation())
    return IntegralHead(8, 4, 3, codec, L1, heatmap_loss=heatmap_loss)


def _mean_position(heatmap):
    """Slow and obvious, in crop pixels."""
    weights = np.exp(heatmap - heatmap.max())
    total, x, y = 0.0, 0.0, 0.0
    for row in range(heatmap.shape[0]):
        for column in range(heatmap.shape[1]):
            total += weights[row, column]
            x += weights[row, column] * column * 4
            y += weights[row, column] * row * 4
    return x / total, y / total


def test_decoding_is_the_mean_position_under_the_softmax():
    logits = torch.randn(2, 3, 16, 16) * 3
    keypoints, scores = _head().decode(logits)
    for b in range(2):
        for k in range(3):
            expected = _mean_position(logits[b, k].double().numpy())
            np.testing.assert_allclose(keypoints[b, k], expected, atol=1e-3)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_labels_and_decoding_equal_the_reference(reference):
    values = np.load(reference("codecs.npz"))
    codec = ClassicHeatmap((256, 256), decoding=Expectation())
    keypoints = torch.from_numpy(values["keypoints"][:, 0])
    heatmaps, weights = codec.encode(keypoints, torch.from_numpy(values["visible"][:, 0]))
    # The reference leaves out what the mean position cannot reach, as our loss does.
    inside = ((keypoints >= 0) & (keypoints <= 255)).all(dim=-1).numpy()
    both = (values["integral__keypoint_weights"][:, 0] > 0) & (weights.numpy() > 0) & inside
    assert both.sum() > 100
    np.testing.assert_allclose(heatmaps.numpy()[both], values["msra__heatmaps"][both], atol=1e-6)
    labels = values["integral__keypoint_labels"][:, 0]
    np.testing.assert_allclose((keypoints / 256).numpy()[both], labels[both], atol=1e-6)
    # Well inside, the mean of a Gaussian is its centre, the nearest cell.
    deep = both & ((keypoints > 40) & (keypoints < 215)).all(dim=-1).numpy()
    found, _ = codec.decode(heatmaps)
    np.testing.assert_allclose(found.numpy()[deep], ((keypoints / 4 + 0.5).floor() * 4).numpy()[deep], atol=1e-3)


def test_the_loss_is_l1_with_the_joint_heatmap_loss():
    logits = torch.randn(2, 3, 16, 16)
    keypoints = torch.rand(2, 3, 2) * 60
    weight = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    total = 0.0
    for b in range(2):
        for k in range(3):
            position = np.array(_mean_position(logits[b, k].double().numpy()))
            total += float(weight[b, k]) * np.abs(position / 64 - keypoints[b, k].numpy() / 64).sum()
    plain = _head().loss(logits, keypoints, weight)
    np.testing.assert_allclose(plain, total / 12, rtol=1e-4)
    joint = _head(heatmap_loss=KeypointBCE()).loss(logits, keypoints, weight)
    target, reaching = ClassicHeatmap((64, 64)).encode(keypoints, weight)
    odds = logits.double().sigmoid()
    entropy = -(target * odds.log() + (1 - target) * (1 - odds).log()).mean(dim=(-2, -1))
    np.testing.assert_allclose(joint - plain, (entropy * reaching).sum() / 2, rtol=1e-4)


def test_points_outside_the_crop_pull_at_nothing():
    logits = torch.randn(1, 3, 16, 16, requires_grad=True)
    keypoints = torch.tensor([[[20.0, 20.0], [-10.0, 20.0], [70.0, 5.0]]])
    _head().loss(logits, keypoints, torch.ones(1, 3)).backward()
    assert (logits.grad.abs().sum(dim=(0, 2, 3)) > 0).tolist() == [True, False, False]


def test_any_decoding_reads_its_heatmaps():
    keypoints = torch.tensor([[[24.0, 28.0], [32.0, 36.0], [40.0, 20.0]]])
    logits = ClassicHeatmap((64, 64)).encode(keypoints, torch.ones(1, 3))[0] * 20 - 30
    for decoding in (Argmax(), QuarterShift(), Dark(), Expectation()):
        found, scores = _head(decoding).decode(logits)
        assert (found - keypoints).abs().max() < 1.5
        assert (scores > 0.9).all()
