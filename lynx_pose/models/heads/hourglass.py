"""Stacked Hourglass (Newell et al. 2016, arXiv 1603.06937): its stem as backbone, its stacks as head."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lynx_pose.errors import InputError
from lynx_pose.models.backbones import FeatureInfo
from lynx_pose.models.codecs.heatmap_codec import HeatmapCodec
from lynx_pose.models.heads.heatmap import StagedHeatmaps, to_heatmaps


class Residual(nn.Module):
    """Bottleneck with normalisation and rectifier before each convolution (He et al. 2016, arXiv 1603.05027)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        half = out_channels // 2
        self.layers = nn.Sequential(
            *_normalised(in_channels),
            nn.Conv2d(in_channels, half, 1),
            *_normalised(half),
            nn.Conv2d(half, half, 3, padding=1),
            *_normalised(half),
            nn.Conv2d(half, out_channels, 1),
        )
        same = in_channels == out_channels
        self.skip: nn.Module = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Keep height and width."""
        result: Tensor = self.layers(features) + self.skip(features)
        return result


class HourglassStem(nn.Module):
    """From crops [B, 3, H, W] to features [B, C, H/4, W/4].

    Args:
        channels: C.
    """

    def __init__(self, channels: int = 256):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            *_normalised(64),
            Residual(64, 128),
            nn.MaxPool2d(2),
            Residual(128, 128),
            Residual(128, channels),
        )
        self.feature_info = FeatureInfo(channels, 4)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return one feature map."""
        return [self.layers(pixels)]


class Hourglass(nn.Module):
    """Down by `depth` halvings and up again, with a skip connection at every scale.

    Args:
        channels: of input and output.
        depth: number of halvings.
    """

    def __init__(self, channels: int, depth: int):
        super().__init__()
        self.skip = Residual(channels, channels)
        self.down = Residual(channels, channels)
        self.middle = Hourglass(channels, depth - 1) if depth > 1 else Residual(channels, channels)
        self.up = Residual(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """Keep height and width."""
        low = self.up(self.middle(self.down(functional.max_pool2d(features, 2))))
        upsampled = functional.interpolate(low, scale_factor=2, mode="nearest")
        result: Tensor = self.skip(features) + upsampled
        return result


class HourglassHead(StagedHeatmaps):
    """Hourglasses one after the other; each one's heatmaps are supervised and fed into the next.

    Args:
        in_channels: of the stem's features.
        in_stride: of the stem's features; the heatmaps have the same.
        num_keypoints: K.
        codec: between coordinates and heatmaps.
        loss: of heatmaps, targets and weights.
        stacks: number of hourglasses; the paper has up to 8.
        depth: halvings within each; the paper has 4.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: HeatmapCodec,
        loss: nn.Module,
        stacks: int = 8,
        depth: int = 4,
    ):
        super().__init__(codec, loss)
        if not 1 <= stacks <= 8:
            raise InputError(f"head.stacks={stacks}: must be 1 to 8")
        _check_sides(codec, in_stride, depth)
        self.hourglasses = nn.ModuleList(
            nn.Sequential(
                Hourglass(in_channels, depth),
                Residual(in_channels, in_channels),
                nn.Conv2d(in_channels, in_channels, 1),
                *_normalised(in_channels),
            )
            for _ in range(stacks)
        )
        self.outputs = nn.ModuleList(to_heatmaps(in_channels, num_keypoints) for _ in range(stacks))
        self.from_features = nn.ModuleList(nn.Conv2d(in_channels, in_channels, 1) for _ in range(stacks - 1))
        self.from_heatmaps = nn.ModuleList(nn.Conv2d(num_keypoints, in_channels, 1) for _ in range(stacks - 1))

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h, w] into heatmaps [B, S, K, h, w]."""
        stages = []
        for number, (hourglass, output) in enumerate(zip(self.hourglasses, self.outputs, strict=True)):
            own = hourglass(features)
            heatmaps = output(own)
            stages.append(heatmaps)
            if number < len(self.from_features):
                features = features + self.from_features[number](own) + self.from_heatmaps[number](heatmaps)
        return torch.stack(stages, dim=1)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def _check_sides(codec: HeatmapCodec, in_stride: int, depth: int) -> None:
    smallest = in_stride * 2**depth
    if codec.stride != in_stride or any(side % smallest for side in codec.input_size):
        raise InputError(
            f"model=hourglass: the heatmaps' stride must be that of the features, {in_stride}, and model.input_size "
            f"a multiple of {smallest}; they are {codec.stride} and {list(codec.input_size)}"
        )
