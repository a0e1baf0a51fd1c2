"""Convolutional Pose Machines (Wei et al. 2016, arXiv 1602.00134): image features as backbone, stages as head."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from lynx_pose.errors import InputError
from lynx_pose.models.backbones import FeatureInfo
from lynx_pose.models.codecs.heatmap_codec import HeatmapCodec
from lynx_pose.models.heads.heatmap import StagedHeatmaps, to_heatmaps


class CpmFeatures(nn.Module):
    """Three wide convolutions with pooling, from crops [B, 3, H, W] to features [B, 128, H/8, W/8].

    The paper has no batch normalisation and a tower of its own for the first stage; here all stages share
    one, normalised, so that it trains from random weights.
    """

    def __init__(self) -> None:
        super().__init__()
        blocks = [[*_convolution(channels, 128, 9), nn.MaxPool2d(3, 2, 1)] for channels in (3, 128, 128)]
        self.layers = nn.Sequential(*(layer for block in blocks for layer in block))
        self.feature_info = FeatureInfo(128, 8)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return one feature map."""
        return [self.layers(pixels)]


class CpmHead(StagedHeatmaps):
    """A first guess from the image alone, then stages that see the image and the guess before.

    Args:
        in_channels: of the image features.
        in_stride: of the image features; the heatmaps have the same.
        num_keypoints: K.
        codec: between coordinates and heatmaps.
        loss: of heatmaps, targets and weights.
        stages: S; the paper has up to 6.
        background: learn one map more, of what is no keypoint; it is seen by later stages and not put out.
        center: show later stages where the animal is, as a Gaussian in the middle of the crop of this deviation in
            crop pixels; the paper has 21 in crops of 368. None does without.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: HeatmapCodec,
        loss: nn.Module,
        stages: int = 6,
        background: bool = False,
        center: float | None = None,
    ):
        super().__init__(codec, loss)
        if codec.stride != in_stride:
            raise InputError(f"model=cpm: head.codec.stride must be that of the features, {in_stride}")
        self.background = background
        self.center = center
        maps = num_keypoints + background
        self.first = nn.Sequential(
            *_convolution(in_channels, 32, 5),
            *_convolution(32, 512, 9),
            *_convolution(512, 512, 1),
            to_heatmaps(512, maps),
        )
        self.context = nn.Sequential(*_convolution(in_channels, 32, 5))
        seen = 32 + maps + (center is not None)
        self.refinements = nn.ModuleList(_refinement(seen, maps) for _ in range(stages - 1))

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h, w] into heatmaps [B, S, K, h, w], the background's after them."""
        stages = [self.first(features)]
        context = self.context(features)
        if self.center is not None:
            context = torch.cat([context, self._center_map(context)], dim=1)
        for refinement in self.refinements:
            stages.append(refinement(torch.cat([context, stages[-1]], dim=1)))
        return torch.stack(stages, dim=1)

    @override
    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the sum of the stages' losses.

        The background's target is 1 - max over keypoints; where some are not annotated they might lie in it, so its
        weight is the share of those that are.
        """
        with torch.no_grad():
            target, weight = self.codec.encode(keypoints, weight)
            if self.background:
                target = torch.cat([target, 1 - target.amax(dim=1, keepdim=True)], dim=1)
                weight = torch.cat([weight, weight.mean(dim=1, keepdim=True)], dim=1)
        return torch.stack([self.criterion(stage, target, weight) for stage in output.unbind(dim=1)]).sum()

    @override
    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        return super().decode(self._keypoints_of(output))

    @override
    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        """Return the last stage's mean over crops and mirror images [B, 1, K, h, w]."""
        return super().average_flipped(self._keypoints_of(output), self._keypoints_of(mirrored), flip_indices)

    def _keypoints_of(self, output: Tensor) -> Tensor:
        """Leave the background's map out, where there is one yet."""
        count = self.first[-1].out_channels - self.background  # type: ignore[operator]  # a convolution's
        return output[:, :, :count]

    def _center_map(self, like: Tensor) -> Tensor:
        """Return [B, 1, h, w] a Gaussian in the middle of maps [B, C, h, w]."""
        assert self.center is not None, "asked for"
        axes = [
            (torch.arange(side, device=like.device) - (side - 1) / 2) * self.codec.stride for side in like.shape[-2:]
        ]
        y, x = (torch.exp(-(axis**2) / 2 / self.center**2) for axis in axes)
        return (y[:, None] * x).to(like.dtype).expand(len(like), 1, -1, -1)


def _refinement(in_channels: int, num_keypoints: int) -> nn.Module:
    """Three wide convolutions, which see most of the animal, and two of 1×1."""
    wide = [layer for channels in (in_channels, 128, 128) for layer in _convolution(channels, 128, 11)]
    return nn.Sequential(*wide, *_convolution(128, 128, 1), to_heatmaps(128, num_keypoints))


def _convolution(in_channels: int, out_channels: int, kernel: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
