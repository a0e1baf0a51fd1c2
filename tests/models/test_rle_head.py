import numpy as np
import pytest
import torch

from lynx_pose.models.codecs.coordinate_codec import RelativeCoordinates
from lynx_pose.models.heads.rle import RealNVP, RLEHead, RLELoss


@pytest.fixture
def flow():
    torch.manual_seed(1)
    made = RealNVP()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_the_flow_is_a_density(flow):
    axis = torch.linspace(-12, 12, 601)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1)
    with torch.no_grad():
        mass = flow.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert mass == pytest.approx(1.0, abs=0.01)


def test_an_untrained_flow_is_nearly_a_normal_density():
    points = torch.randn(50, 2)
    expected = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(points)
    torch.testing.assert_close(RealNVP().log_prob(points), expected, atol=0.05, rtol=0)


def test_the_loss_by_hand(flow):
    output = torch.rand(2, 3, 4) * 0.5 + 0.25
    target, weight = torch.rand(2, 3, 2), torch.tensor([[1.0, 0.0, 1.0], [2.0, 1.0, 1.0]])
    total = 0.0
    for b in range(2):
        for k in range(3):
            sigma = output[b, k, 2:]
            residual = (output[b, k, :2] - target[b, k]) / sigma
            density = torch.distributions.Laplace(output[b, k, :2], sigma).log_prob(target[b, k]).sum()
            total -= (weight[b, k] * (density + flow.log_prob(residual))).item()
    assert RLELoss(flow)(output, target, weight).item() == pytest.approx(total / 12, rel=1e-4)


def test_what_takes_no_part_cannot_overflow(flow):
    output = torch.full((1, 2, 4), 0.5, requires_grad=True)
    target = torch.tensor([[[0.5, 0.5], [1e20, -1e20]]])
    loss = RLELoss(flow)(output, target, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(output.grad).all()


def test_it_learns_where_it_is_certain():
    """Two keypoints, one of them annotated with ten times the spread."""
    torch.manual_seed(0)
    head = RLEHead(4, 32, 2, RelativeCoordinates((256, 256)), RLELoss(RealNVP()))
    features = torch.randn(256, 4, 1, 1)
    noise = torch.randn(256, 2, 2) * torch.tensor([[3.0], [30.0]])
    keypoints = torch.tensor([[100.0, 90.0], [150.0, 160.0]]) + noise
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss(head(features), keypoints, torch.ones(256, 2)).backward()
        optimizer.step()
    found, scores = head.decode(head(features))
    np.testing.assert_allclose(found.detach().median(dim=0).values, [[100, 90], [150, 160]], atol=8)
    assert (scores[:, 0] > scores[:, 1]).float().mean() > 0.95


@pytest.mark.parametrize("widths", [(2.0, 8.0), (6.0, 20.0)])
def test_its_widths_are_the_true_ones(widths):
    """Residuals of known Laplace widths; the deviations by themselves are many times as large."""
    torch.manual_seed(0)
    head = RLEHead(4, 32, 2, RelativeCoordinates((256, 256)), RLELoss(RealNVP()))
    features = torch.ones(64, 4, 1, 1)
    noise = torch.distributions.Laplace(0.0, torch.tensor(widths)[:, None].expand(2, 2))
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    for step in range(900):
        if step == 600:
            optimizer.param_groups[0]["lr"] = 3e-4
        keypoints = torch.tensor([[100.0, 90.0], [150.0, 160.0]]) + noise.sample((64,))
        optimizer.zero_grad()
        head.loss(head(features), keypoints, torch.ones(64, 2)).backward()
        optimizer.step()
    head.eval()
    found = head.widths(head(features)).mean(dim=(0, 2))
    deviations = head(features)[..., 2:].mean(dim=(0, 2)) * 256
    np.testing.assert_allclose(found.detach(), widths, rtol=0.1)
    assert (deviations > 3 * torch.tensor(widths)).all()
    _, scores = head.decode(head(features))
    assert (scores[:, 0] > scores[:, 1]).all()


def test_flipping_mirrors_positions_and_keeps_deviations():
    head = RLEHead(4, 32, 2, RelativeCoordinates((256, 256)), RLELoss(RealNVP()))
    output = torch.rand(3, 2, 4)
    mirrored = output[:, [1, 0]] * torch.tensor([-1.0, 1.0, 1.0, 1.0]) + torch.tensor([255 / 256, 0.0, 0.0, 0.0])
    torch.testing.assert_close(head.average_flipped(output, mirrored, [1, 0]), output)
