"""Backbones: any timm network that yields feature maps, and what those that are not timm's say of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import timm
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from lynx_pose.errors import InputError


def timm_backbone(name: str, out_index: int = -1, pretrained: bool = False, **options: Any) -> nn.Module:
    """Create a timm network with `features_only`.

    Args:
        name: as timm lists it, such as `resnet50` or `hrnet_w32`.
        out_index: which feature map to use; −1 is the last and coarsest.
        pretrained: load timm's own weights (needs the network or timm's cache).
        options: for the network's constructor.

    Returns:
        A module from [B, 3, H, W] to a list with one feature map; its `feature_info` tells channels and
        reduction.

    Raises:
        InputError: timm has no such network, or it cannot yield that map.
    """
    return _features(name, (out_index,), pretrained, **options)


def _features(name: str, indices: tuple[int, ...], pretrained: bool = False, **options: Any) -> nn.Module:
    known = timm.is_model(name.split(".")[0])
    if not known:
        near = ", ".join(timm.list_models(f"*{name.split('_')[0].split('.')[0]}*")[:8])
        raise InputError(f"model.backbone.name={name}: timm has no such network (near: {near or 'none'})")
    try:
        backbone = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=indices, **options)
    except (RuntimeError, TypeError, AssertionError, IndexError) as error:
        raise InputError(
            f"model.backbone.name={name}: timm cannot make it with these options ({error}). "
            "HRNets go with model=hrnet, vision transformers with model=vit, other networks with model=r50"
        ) from error
    return ChannelsFirst(backbone) if getattr(backbone, "output_fmt", None) == "NHWC" else backbone


class ChannelsFirst(nn.Module):
    """A timm network whose maps are [B, h, w, C], as Swin's, with maps [B, C, h, w]."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body
        self.feature_info = body.feature_info
        self.pretrained_cfg = getattr(body, "pretrained_cfg", None)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn images [B, 3, H, W] into maps, fine to coarse."""
        return [one.permute(0, 3, 1, 2) for one in self.body(image)]


@dataclass(frozen=True)
class FeatureInfo:
    """What a head needs to know of a backbone's one feature map, in timm's words.

    Args:
        width: number of channels.
        stride: crop pixels per cell.
    """

    width: int
    stride: int

    def channels(self) -> list[int]:
        """Channels of each feature map."""
        return [self.width]

    def reduction(self) -> list[int]:
        """Crop pixels per cell of each feature map."""
        return [self.stride]


class FeaturePyramid(nn.Module):
    """A timm network and a top-down path that brings its maps together at the finest one's stride.

    The path of Feature Pyramid Networks (Lin et al. 2017, arXiv 1612.03144): each map gets a 1×1 convolution to
    `channels`, the coarser sum is doubled in size and added, a 3×3 convolution smooths. Deconvolutions of the coarsest
    map alone, as in Simple Baselines, take as many operations and know nothing of fine detail.

    Args:
        name: as timm lists it; it must yield maps of several strides.
        out_indices: the maps to use, fine to coarse, each of half the size of the one before.
        channels: of the result.
        options: for the network's constructor.
    """

    def __init__(self, name: str, out_indices: Sequence[int] = (1, 2, 3, 4), channels: int = 64, **options: Any):
        super().__init__()
        self.body = _features(name, tuple(out_indices), **options)
        info: Any = self.body.feature_info
        strides = info.reduction()
        if any(coarse != 2 * fine for fine, coarse in pairwise(strides)):
            raise InputError(
                f"model.backbone.out_indices={list(out_indices)}: maps of {name} with strides {strides}; "
                "a pyramid needs each to double the one before"
            )
        self.pretrained_cfg = getattr(self.body, "pretrained_cfg", None)
        self.feature_info = FeatureInfo(channels, strides[0])
        self.lateral = nn.ModuleList(_normalized(width, channels, 1) for width in info.channels())
        self.smooth = nn.ModuleList(_normalized(channels, channels, 3) for _ in strides[1:])

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn images [B, 3, H, W] into one map [B, channels, H / stride, W / stride]."""
        lateral = [convolve(map_) for convolve, map_ in zip(self.lateral, self.body(image), strict=True)]
        result = lateral.pop()
        for finer, smooth in zip(reversed(lateral), reversed(self.smooth), strict=True):
            result = relu(smooth(relu(interpolate(result, scale_factor=2.0) + finer)))
        return [result]


def _normalized(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))
