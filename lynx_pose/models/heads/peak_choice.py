"""The head that says which place in heatmaps is meant (paper 1818, section 3.2, its "non-maximum suppression")."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from lynx_pose.models.codecs.coordinate_codec import RelativeCoordinates
from lynx_pose.models.heads.base import CodecHead
from lynx_pose.models.heads.regression import fully_connected


class ChosenPlaces(NamedTuple):
    """Chosen places [B, K, 2] in fractions of the crop, and the heatmaps [B, K, H, W] that they were chosen in."""

    places: Tensor
    heatmaps: Tensor


class PeakChoiceHead(CodecHead):
    """Global average pooling, one fully connected layer, and a sigmoid: two fractions of the crop a keypoint.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map; pooling takes any.
        num_keypoints: K.
        codec: between crop pixels and fractions.
        loss: of fractions, targets and weights.
    """

    codec: RelativeCoordinates

    def __init__(
        self, in_channels: int, in_stride: int, num_keypoints: int, codec: RelativeCoordinates, loss: nn.Module
    ):
        super().__init__(codec, loss)
        self.num_keypoints = num_keypoints
        self.fc = fully_connected([in_channels, 2 * num_keypoints], first_output=0.0)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h, w] into fractions of the crop [B, K, 2]."""
        return torch.sigmoid(self.fc(features.mean(dim=(-2, -1)))).unflatten(1, (self.num_keypoints, 2))

    def loss(self, output: ChosenPlaces, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of the places; the heatmaps are not trained."""
        return super().loss(output.places, keypoints, weight)

    def decode(self, output: ChosenPlaces) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K], the heatmaps' values there."""
        keypoints = self.codec.decode(output.places.float())
        height, width = output.heatmaps.shape[-2:]
        column = (output.places[..., 0] * width).long().clamp(0, width - 1)
        row = (output.places[..., 1] * height).long().clamp(0, height - 1)
        scores = output.heatmaps.flatten(2).gather(2, (row * width + column)[..., None])[..., 0]
        return keypoints, scores.float()

    def average_flipped(self, output: ChosenPlaces, mirrored: ChosenPlaces, flip_indices: list[int]) -> ChosenPlaces:
        """Return the mean of the places, and of the heatmaps, of crops and of their mirror images."""
        places = (output.places + self.codec.unflip(mirrored.places, flip_indices)) / 2
        return ChosenPlaces(places, (output.heatmaps + mirrored.heatmaps.flip(-1)[:, flip_indices]) / 2)
