"""The heatmap head of Simple Baselines (Xiao et al. 2018, arXiv 1804.06208), and what heatmap heads share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lynx_pose.data.crop import WarpMatrix
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.heatmap import HeatmapCodec


class HeatmapOutput(nn.Module):
    """Loss and decoding of heatmaps [B, K, h, w]; the layers that make them are the subclasses'.

    Args:
        codec: between coordinates and heatmaps.
        loss: of heatmaps, targets and weights.
    """

    def __init__(self, codec: HeatmapCodec, loss: nn.Module):
        super().__init__()
        self.codec = codec
        self.criterion = loss

    @property
    def warp_matrix(self) -> WarpMatrix:
        """The crop's map that the codec belongs to."""
        return self.codec.warp_matrix

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of heatmaps against keypoints [B, K, 2] in crop pixels with weights [B, K]."""
        with torch.no_grad():
            target, weight = self.codec.encode(keypoints, weight)
        loss: Tensor = self.criterion(output, target, weight)
        return loss

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K]."""
        return self.codec.decode(output.float())

    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        """Return the mean of the outputs of crops and of their mirror images, as an output of the crops."""
        return (output + self.codec.unflip(mirrored, flip_indices)) / 2


class HeatmapHead(HeatmapOutput):
    """Deconvolutions up to the codec's stride, then a 1×1 convolution to one heatmap a keypoint.

    A backbone that is already at that stride, such as HRNet, gets no deconvolution.

    Args:
        in_channels: of the feature map.
        in_stride: crop pixels per cell of the feature map.
        num_keypoints: K.
        codec: between coordinates and heatmaps.
        loss: of heatmaps, targets and weights.
        deconv_channels: of each deconvolution.
        deconv_kernel: side of its kernel.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: HeatmapCodec,
        loss: nn.Module,
        deconv_channels: int = 256,
        deconv_kernel: int = 4,
    ):
        super().__init__(codec, loss)
        layers = math.log2(in_stride / codec.stride)
        if layers < 0 or layers % 1:
            raise InputError(
                f"the backbone's feature map has stride {in_stride}, which doubling cannot bring to the heatmap's "
                f"stride {codec.stride}; choose another model.backbone.out_index"
            )
        modules: list[nn.Module] = []
        channels = in_channels
        for _ in range(int(layers)):
            modules += _doubling(channels, deconv_channels, deconv_kernel)
            channels = deconv_channels
        self.deconv_layers = nn.Sequential(*modules)
        self.final_layer = nn.Conv2d(channels, num_keypoints, kernel_size=1)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.001)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h', w'] into heatmaps [B, K, h, w]."""
        heatmaps: Tensor = self.final_layer(self.deconv_layers(features))
        return heatmaps


def _doubling(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
    """Deconvolve to twice the size, normalise, rectify; kernels of 2, 3 and 4 need different padding."""
    padding, extra = {4: (1, 0), 3: (1, 1), 2: (0, 0)}[kernel]
    return [
        nn.ConvTranspose2d(in_channels, out_channels, kernel, 2, padding, extra, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
