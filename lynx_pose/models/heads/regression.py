"""The regression head of DeepPose (Toshev and Szegedy 2014, arXiv 1312.4659)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from lynx_pose.models.codecs.coordinate_codec import RelativeCoordinates
from lynx_pose.models.heads.base import CodecHead


class CoordinateOutput(CodecHead):
    """Decoding of coordinates [B, K, 2] in fractions of the crop; the layers are the subclasses'.

    Args:
        num_keypoints: K.
        codec: between crop pixels and what is predicted.
        loss: of predictions, targets and weights.
    """

    codec: RelativeCoordinates

    def __init__(self, num_keypoints: int, codec: RelativeCoordinates, loss: nn.Module):
        super().__init__(codec, loss)
        self.num_keypoints = num_keypoints

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K]; it has no confidence, so they are 1."""
        return self.codec.decode(output.float()), torch.ones_like(output[..., 0], dtype=torch.float32)


class RegressionHead(CoordinateOutput):
    """Global average pooling, fully connected layers, two numbers a keypoint.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map; pooling takes any.
        num_keypoints: K.
        codec: between crop pixels and what is predicted.
        loss: of predictions, targets and weights.
        hidden: widths of the fully connected layers before the last; DeepPose has [4096, 4096].
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: RelativeCoordinates,
        loss: nn.Module,
        hidden: Sequence[int] = (),
    ):
        super().__init__(num_keypoints, codec, loss)
        # Start in the middle of the crop.
        self.fc = fully_connected([in_channels, *hidden, 2 * num_keypoints], first_output=0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h, w] into fractions of the crop [B, K, 2]."""
        fractions: Tensor = self.fc(features.mean(dim=(-2, -1)))
        return fractions.unflatten(1, (self.num_keypoints, 2))


def fully_connected(widths: Sequence[int], first_output: float) -> nn.Sequential:
    """Make fully connected layers with rectifiers between them.

    Args:
        widths: of the input, of each hidden layer, and of the output.
        first_output: what an untrained network puts out, nearly.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    last = nn.Linear(widths[-2], widths[-1])
    nn.init.normal_(last.weight, std=0.01)
    nn.init.constant_(last.bias, first_output)
    return nn.Sequential(*layers, last)
