"""Integral regression in three dimensions (Sun et al. 2018, arXiv 1711.08229)."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from lynx_pose.data.crop import CropConvention
from lynx_pose.models.codecs.volume_codec import Volume, mean_cell
from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.heads.heatmap import deconvolutions
from lynx_pose.models.heads.integral import probability_near


class Integral3DHead(PoseHead):
    """Deconvolutions to a volume of logits a keypoint; the expected cell under their softmax is its position.

    Depth is that behind the animal's root, in crop pixels. It takes the scale of the image to turn it into metres.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map.
        num_keypoints: K.
        codec: between coordinates and heatmaps.
        loss: of coordinates [B, K, 3] in fractions of the crop's sides (of its width for depth), targets and weights.
        heatmap_loss: of logits, targets and weights, added to the loss.
        heatmap_weight: its factor; 0 leaves it out, as the source does in its first 23 of 25 epochs.
        deconv_channels: of each deconvolution.
        deconv_kernel: side of its kernel.
    """

    dimensions = 3

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: Volume,
        loss: nn.Module,
        heatmap_loss: nn.Module,
        heatmap_weight: float = 0.0,
        deconv_channels: int = 256,
        deconv_kernel: int = 4,
    ):
        super().__init__()
        self.codec = codec
        self.num_keypoints = num_keypoints
        self.deconv_layers, self.final_layer = deconvolutions(
            in_channels, in_stride, num_keypoints * codec.depth_cells, codec.stride, deconv_channels, deconv_kernel
        )
        self.criterion = loss
        self.heatmap_loss = heatmap_loss
        self.heatmap_weight = heatmap_weight

    @property
    def crop_convention(self) -> CropConvention:
        """The codec's."""
        return self.codec.crop_convention

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h', w'] into logits [B, K, D, h, w]."""
        logits: Tensor = self.final_layer(self.deconv_layers(features))
        return logits.unflatten(1, (self.num_keypoints, self.codec.depth_cells))

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the coordinates' loss, and with a weight above 0 that of the heatmaps.

        Args:
            output: [B, K, D, h, w] logits.
            keypoints: [B, K, 3] in crop pixels. Of points outside the crop nothing is learnt, of those beyond the
                volume's depth where they are in the crop.
            weight: [B, K].
        """
        width, height = self.codec.input_size
        sides = torch.tensor([width, height, width], device=keypoints.device)
        found = self.codec.to_crop(mean_cell(volume_probabilities(output)))
        inside = ((keypoints[..., :2] >= 0) & (keypoints[..., :2] <= sides[:2] - 1)).all(dim=-1)
        reached = keypoints[..., 2].abs() <= self.codec.depth_range * width / 2
        taught = (weight * inside)[..., None].repeat(1, 1, 3)
        taught[..., 2] *= reached
        loss: Tensor = self.criterion(found / sides, keypoints / sides, taught)
        if self.heatmap_weight:
            with torch.no_grad():
                target, weight = self.codec.encode(keypoints, weight)
            # Both as one image of D × h rows, for losses of heatmaps.
            loss = loss + self.heatmap_weight * self.heatmap_loss(output.flatten(2, 3), target.flatten(2, 3), weight)
        return loss

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 3] in crop pixels and scores [B, K].

        A score is the probability within two sigma of the position, across and down.
        """
        heatmaps = volume_probabilities(output)
        cells = mean_cell(heatmaps)
        return self.codec.to_crop(cells), probability_near(heatmaps.sum(dim=2), cells[..., :2], 2 * self.codec.sigma)

    @override
    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        return (output + self.codec.unflip(mirrored, flip_indices)) / 2


def volume_probabilities(logits: Tensor) -> Tensor:
    """Return [B, K, D, h, w] that sum to 1 over each volume, in float32."""
    return logits.float().flatten(2).softmax(dim=-1).view_as(logits)
