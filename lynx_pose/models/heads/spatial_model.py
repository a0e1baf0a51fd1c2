"""Heatmaps corrected by each other: the graphical model of Tompson et al. 2014 (arXiv 1406.2984, section 3.2)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, softplus

# Of softplus, which is 0.09 then for an empty cell and 1 for a peak; the paper has 0.5 to 2, for maps of another scale.
SHARPNESS = 8.0


class SpatialModel(nn.Module):
    """One round of messages between all pairs of keypoints (Equation 2).

    The corrected map of keypoint A is p_A times, over all other keypoints v, κ(A|v) * p_v + b(v→A), where κ(A|v) is a
    learnt kernel of where A lies as seen from v; maps, kernels and constants are kept positive by softplus. At first no
    kernel prefers a place, so that it changes no map's maximum.

    Args:
        num_keypoints: K.
        size: (width, height) of the heatmaps in cells.
    """

    def __init__(self, num_keypoints: int, size: tuple[int, int]):
        super().__init__()
        width, height = size
        shape = (num_keypoints, num_keypoints, 2 * height - 1, 2 * width - 1)
        # softplus of it is one cell's share of the kernel.
        self.kernels = nn.Parameter(torch.full(shape, math.log(math.expm1(1 / (width * height)))))
        self.constants = nn.Parameter(torch.zeros(num_keypoints, num_keypoints))
        # A product of positive numbers is no heatmap from 0 to 1 yet.
        self.gain = nn.Parameter(torch.ones(num_keypoints, 1, 1))
        self.offset = nn.Parameter(torch.full((num_keypoints, 1, 1), -math.log(2) / SHARPNESS))

    def forward(self, heatmaps: Tensor) -> Tensor:
        """Turn heatmaps [B, K, h, w] into corrected ones."""
        count, (height, width) = len(self.constants), heatmaps.shape[-2:]
        positive = softplus(heatmaps.float(), SHARPNESS)
        # Sender by sender: kernels[A, v] of all receivers A.
        weight = softplus(self.kernels).transpose(0, 1).flatten(0, 1)[:, None]
        messages = conv2d(positive, weight, padding=(height - 1, width - 1), groups=count)
        messages = messages.unflatten(1, (count, count)).transpose(1, 2) + softplus(self.constants)[..., None, None]
        others = ~torch.eye(count, dtype=torch.bool, device=heatmaps.device)[..., None, None]
        # Their geometric mean, because a product of K - 1 factors has no scale.
        evidence = (messages.log() * others).sum(dim=2) / max(1, count - 1)
        return positive * evidence.exp() * self.gain + self.offset
