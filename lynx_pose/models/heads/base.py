"""What every head is: feature maps to an output, and of that output a loss and keypoints."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from lynx_pose.data.crop import CropConvention

# Heatmaps, coordinates, or whatever else a head makes of features, loses on and decodes; its type is the head's affair.
Output = Any


class PoseHead(nn.Module, ABC):
    """Base of all heads; `forward` turns feature maps [B, C, h', w'] into an output.

    Of D coordinates a keypoint, most heads have 2; those of 3 learn and find depth behind the animal's root as well.
    """

    dimensions: ClassVar[int] = 2

    @property
    @abstractmethod
    def crop_convention(self) -> CropConvention:
        """The convention of the crop that the head's codec belongs to."""

    @abstractmethod
    def loss(self, output: Output, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return a scalar, from keypoints [B, K, D] in crop pixels and weights [B, K], 0 where not visible."""

    @abstractmethod
    def decode(self, output: Output) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, D] in crop pixels and scores [B, K]."""

    @abstractmethod
    def average_flipped(self, output: Output, mirrored: Output, flip_indices: list[int]) -> Output:
        """Return the mean of the outputs of crops and of their mirror images, as an output of the crops."""


class Codec(Protocol):
    """Between coordinates and what a head puts out; without parameters."""

    @property
    def crop_convention(self) -> CropConvention:
        """The convention of the crop that the codec belongs to."""
        ...

    def encode(self, keypoints: Tensor, weight: Tensor) -> tuple[Any, Tensor]:
        """Make targets and weights [B, K] of keypoints [B, K, 2] in crop pixels and weights [B, K]."""
        ...

    def unflip(self, output: Any, flip_indices: list[int]) -> Any:
        """Turn the output for mirrored crops into that for the crops themselves."""
        ...


class CodecHead(PoseHead):
    """A head of one codec and one loss between its output and the codec's targets.

    Args:
        codec: between coordinates and outputs.
        loss: of output, targets and weights.
    """

    codec: Codec

    def __init__(self, codec: Codec, loss: nn.Module):
        super().__init__()
        self.codec = codec
        self.criterion = loss

    @property
    def crop_convention(self) -> CropConvention:
        """The codec's."""
        return self.codec.crop_convention

    def loss(self, output: Output, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of an output against keypoints [B, K, 2] in crop pixels with weights [B, K]."""
        with torch.no_grad():
            target, weight = self.codec.encode(keypoints, weight)
        loss: Tensor = self.criterion(output, target, weight)
        return loss

    def average_flipped(self, output: Output, mirrored: Output, flip_indices: list[int]) -> Output:
        """Return the mean of the outputs of crops and of their mirror images, as an output of the crops."""
        return (output + self.codec.unflip(mirrored, flip_indices)) / 2
