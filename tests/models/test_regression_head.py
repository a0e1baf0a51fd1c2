import numpy as np
import pytest
import torch

from lynx_pose.errors import InputError
from lynx_pose.models.codecs.coordinate_codec import RelativeCoordinates
from lynx_pose.models.heads.regression import RegressionHead
from lynx_pose.models.losses import CoordinateLoss

CODEC = RelativeCoordinates((256, 256))
SMOOTH = CoordinateLoss(torch.nn.SmoothL1Loss(beta=0.1, reduction="none"))


def test_codec_equals_the_reference(reference):
    values = np.load(reference("codecs.npz"))
    keypoints = torch.from_numpy(values["keypoints"][:, 0])
    fractions, weights = CODEC.encode(keypoints, torch.from_numpy(values["visible"][:, 0] > 0.5))
    np.testing.assert_allclose(fractions, values["regression__keypoint_labels"][:, 0], atol=1e-6)
    np.testing.assert_array_equal(weights, values["regression__keypoint_weights"][:, 0])
    np.testing.assert_allclose(CODEC.decode(fractions), values["regression__decoded"][:, 0], atol=1e-4)


def test_unflip_finds_the_keypoints_of_the_original():
    keypoints = torch.tensor([[[40.0, 60.0], [140.0, 88.0], [200.0, 100.0]]])
    visible, order = torch.ones(1, 3, dtype=torch.bool), [1, 0, 2]
    mirrored = keypoints[:, order] * torch.tensor([-1.0, 1.0]) + torch.tensor([255.0, 0.0])
    back = CODEC.decode(CODEC.unflip(CODEC.encode(mirrored, visible)[0], order))
    torch.testing.assert_close(back, keypoints)


def test_loss_is_equations_8_and_9_by_hand():
    output, target = torch.rand(2, 3, 2), torch.rand(2, 3, 2)
    weight = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    total = 0.0
    for b in range(2):
        for k in range(3):
            for c in range(2):
                difference = abs(float(output[b, k, c] - target[b, k, c]))
                value = 0.5 * difference**2 / 0.1 if difference < 0.1 else difference - 0.05
                total += float(weight[b, k]) * value
    assert SMOOTH(output, target, weight) == pytest.approx(total / 12, rel=1e-5)


def test_a_loss_that_reduces_by_itself_is_refused():
    with pytest.raises(InputError, match="reduction=none"):
        CoordinateLoss(torch.nn.L1Loss())


def test_it_starts_in_the_middle_and_learns_one_pose():
    torch.manual_seed(0)
    head = RegressionHead(8, 32, 5, CODEC, SMOOTH, hidden=(16,))
    features = torch.randn(4, 8, 4, 4)
    keypoints = torch.rand(4, 5, 2) * 200 + 20
    visible = torch.ones(4, 5, dtype=torch.bool)
    assert (head.decode(head(features))[0] - 128).abs().max() < 30
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        head.loss(head(features), keypoints, visible).backward()
        optimizer.step()
    found, scores = head.decode(head(features))
    assert (found - keypoints).abs().max() < 5
    assert (scores == 1).all()
