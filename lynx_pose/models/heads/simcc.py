"""The SimCC head (Li et al. 2022, arXiv 2107.03332)."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from lynx_pose.errors import InputError
from lynx_pose.models.codecs.simcc_codec import Bins, SimCC
from lynx_pose.models.heads.base import CodecHead


class BinKL(nn.Module):
    """Kullback-Leibler divergence of the softmax over bins from the targets, mean over keypoints and axes."""

    def forward(self, output: Bins, target: Bins, weight: Tensor) -> Tensor:
        """Return the mean.

        Args:
            output: logits [B, K, W'] and [B, K, H'].
            target: densities [B, K, W'] and [B, K, H'].
            weight: [B, K], 0 where a keypoint takes no part.
        """
        if not isinstance(output, tuple):
            raise InputError("head.loss: BinKL is a loss of bins, which this head does not put out")
        losses = [
            functional.kl_div(logits.float().log_softmax(dim=-1), density, reduction="none").sum(dim=-1)
            for logits, density in zip(output, target, strict=True)
        ]
        return (torch.stack(losses).mean(dim=0) * weight).mean()


class SimCCHead(CodecHead):
    """One feature map a keypoint, flattened, and a linear layer for each axis.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map.
        num_keypoints: K.
        codec: between coordinates and bins.
        loss: of bins, targets and weights.
    """

    codec: SimCC

    def __init__(self, in_channels: int, in_stride: int, num_keypoints: int, codec: SimCC, loss: nn.Module):
        super().__init__(codec, loss)
        self.final_layer = nn.Conv2d(in_channels, num_keypoints, 1)
        cells = (codec.input_size[0] // in_stride) * (codec.input_size[1] // in_stride)
        self.to_x, self.to_y = (nn.Linear(cells, count) for count in codec.bins)

    def forward(self, features: Tensor) -> Bins:
        """Turn features [B, C, h, w] into logits [B, K, W·split] and [B, K, H·split]."""
        flat = self.final_layer(features).flatten(2)
        return self.to_x(flat), self.to_y(flat)

    def decode(self, output: Bins) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K].

        A score is the probability within two sigma of the position, on the less certain axis.
        """
        x, y = (logits.float().softmax(dim=-1) for logits in output)
        keypoints, _ = self.codec.decode((x, y))
        positions = keypoints * self.codec.split
        near = [_probability_near(axis, positions[..., i], 2 * self.codec.sigma) for i, axis in enumerate((x, y))]
        return keypoints, torch.minimum(*near)

    @override
    def average_flipped(self, output: Bins, mirrored: Bins, flip_indices: list[int]) -> Bins:
        x, y = self.codec.unflip(mirrored, flip_indices)
        return (output[0] + x) / 2, (output[1] + y) / 2


def _probability_near(probabilities: Tensor, position: Tensor, radius: float) -> Tensor:
    """Sum [B, K, N] within `radius` bins of positions [B, K]."""
    bins = torch.arange(probabilities.shape[-1], device=probabilities.device)
    return (probabilities * ((bins - position[..., None]).abs() <= radius)).sum(dim=-1)
