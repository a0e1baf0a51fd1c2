"""The heatmap head of Simple Baselines (Xiao et al. 2018, arXiv 1804.06208), and what other heatmap heads share."""

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

from lynx_pose.errors import InputError
from lynx_pose.models.codecs.heatmap_codec import HeatmapCodec
from lynx_pose.models.heads.base import CodecHead


class HeatmapOutput(CodecHead):
    """Decoding of heatmaps [B, K, h, w]; the layers that make them are the subclasses'."""

    codec: HeatmapCodec

    @override
    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        return self.codec.decode(output.float())


class StagedHeatmaps(HeatmapOutput):
    """Heatmaps [B, S, K, h, w] of S stages, each supervised; the last one's are the prediction."""

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of the stages' losses (intermediate supervision)."""
        with torch.no_grad():
            target, weight = self.codec.encode(keypoints, weight)
        stages = [self.criterion(heatmaps, target, weight) for heatmaps in output.unbind(dim=1)]
        return torch.stack(stages).sum()

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K] of the last stage."""
        return super().decode(output[:, -1])

    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        """Return the last stage's mean over crops and mirror images [B, 1, K, h, w]."""
        return super().average_flipped(output[:, -1], mirrored[:, -1], flip_indices)[:, None]


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
        self.deconv_layers, self.final_layer = deconvolutions(
            in_channels, in_stride, num_keypoints, codec.stride, deconv_channels, deconv_kernel
        )

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h', w'] into heatmaps [B, K, h, w]."""
        heatmaps: Tensor = self.final_layer(self.deconv_layers(features))
        return heatmaps


def deconvolutions(
    in_channels: int, in_stride: int, outputs: int, stride: int, channels: int, kernel: int
) -> tuple[nn.Sequential, nn.Conv2d]:
    """Make deconvolutions from one stride to another, and the 1×1 convolution to the outputs, all of small weights.

    Args:
        in_channels: of the feature map.
        in_stride: crop pixels per cell of the feature map.
        outputs: channels that come out.
        stride: crop pixels per cell of what comes out.
        channels: of each deconvolution.
        kernel: side of its kernel.

    Raises:
        InputError: doubling does not lead from one stride to the other.
    """
    layers = math.log2(in_stride / stride)
    if layers < 0 or layers % 1:
        raise InputError(
            f"the backbone's feature map has stride {in_stride}, which doubling cannot bring to the heatmap's "
            f"stride {stride}; choose another model.backbone.out_index"
        )
    modules: list[nn.Module] = []
    for number in range(int(layers)):
        modules += _upsampling(channels if number else in_channels, channels, kernel)
    doubling, last = nn.Sequential(*modules), nn.Conv2d(channels if modules else in_channels, outputs, kernel_size=1)
    for module in (*doubling, last):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.001)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return doubling, last


def _upsampling(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
    """Deconvolve to twice the size, normalise, rectify; kernels of 2, 3 and 4 need different padding."""
    padding, extra = {4: (1, 0), 3: (1, 1), 2: (0, 0)}[kernel]
    return [
        nn.ConvTranspose2d(in_channels, out_channels, kernel, 2, padding, extra, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def to_heatmaps(in_channels: int, num_keypoints: int) -> nn.Conv2d:
    """Make the 1×1 convolution to heatmaps, which are nearly 0 before training, as most of their target is."""
    convolution = nn.Conv2d(in_channels, num_keypoints, 1)
    nn.init.normal_(convolution.weight, std=0.001)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
    return convolution
