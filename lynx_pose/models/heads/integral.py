"""Integral regression (Sun et al. 2018, arXiv 1711.08229): the mean position under a heatmap's softmax."""

import torch
from torch import Tensor, nn

from lynx_pose.models.codecs.decoding import mean_position
from lynx_pose.models.codecs.heatmap_codec import HeatmapCodec
from lynx_pose.models.heads.heatmap import HeatmapHead


class IntegralHead(HeatmapHead):
    """A heatmap head that is trained on the coordinates, so that the whole way to them is differentiable.

    Its heatmaps are probabilities, so any decoding can read them; the paper's own is `Expectation`.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map.
        num_keypoints: K.
        codec: between coordinates and heatmaps.
        loss: of coordinates [B, K, 2] in fractions of the crop, targets and weights.
        heatmap_loss: of logits, Gaussian targets and weights, added to the loss; None leaves it out.
        heatmap_weight: factor of the heatmap loss.
        options: of `HeatmapHead`.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: HeatmapCodec,
        loss: nn.Module,
        heatmap_loss: nn.Module | None = None,
        heatmap_weight: float = 1.0,
        **options: int,
    ):
        super().__init__(in_channels, in_stride, num_keypoints, codec, loss, **options)
        self.heatmap_loss = heatmap_loss
        self.heatmap_weight = heatmap_weight

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the coordinates' loss, with the joint heatmap loss where there is one.

        Points outside the crop take no part: the mean position cannot reach them.
        """
        with torch.no_grad():
            target, reaching = self.codec.encode(keypoints, weight)
        size = torch.tensor(self.codec.input_size, device=keypoints.device)
        inside = ((keypoints >= 0) & (keypoints <= size - 1)).all(dim=-1)
        found = mean_position(probabilities(output)) * self.codec.cell_pixels(keypoints)
        loss: Tensor = self.criterion(found / size, keypoints / size, weight * inside)
        if self.heatmap_loss is not None:
            loss = loss + self.heatmap_weight * self.heatmap_loss(output, target, reaching)
        return loss

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K].

        A score is the probability within two sigma of the position, on both axes.
        """
        heatmaps = probabilities(output)
        keypoints, _ = self.codec.decode(heatmaps)
        cells = keypoints / self.codec.cell_pixels(keypoints)
        return keypoints, probability_near(heatmaps, cells, 2 * self.codec.sigma)


def probabilities(logits: Tensor) -> Tensor:
    """Return [B, K, h, w] that sum to 1 over each heatmap, in float32."""
    return logits.float().flatten(2).softmax(dim=-1).view_as(logits)


def probability_near(heatmaps: Tensor, cells: Tensor, radius: float) -> Tensor:
    """Return the probability [B, K] within `radius` cells, on both axes, of positions [B, K, 2] in cells."""
    height, width = heatmaps.shape[-2:]
    near_x = (torch.arange(width, device=heatmaps.device) - cells[..., :1]).abs() <= radius
    near_y = (torch.arange(height, device=heatmaps.device) - cells[..., 1:]).abs() <= radius
    near = (near_y[..., :, None] & near_x[..., None, :]).to(heatmaps.dtype)
    return (heatmaps * near).sum(dim=(-2, -1))
