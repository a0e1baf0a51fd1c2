"""Backbones: any timm network that yields feature maps, and what those that are not timm's say of theirs."""

from dataclasses import dataclass
from typing import Any

import timm
from torch import nn

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
    known = timm.is_model(name.split(".")[0])
    if not known:
        near = ", ".join(timm.list_models(f"*{name.split('_')[0].split('.')[0]}*")[:8])
        raise InputError(f"model.backbone.name={name}: timm has no such network (near: {near or 'none'})")
    try:
        return timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=(out_index,), **options)
    except (RuntimeError, TypeError, AssertionError, IndexError) as error:
        raise InputError(
            f"model.backbone.name={name}: timm cannot make it with these options ({error}). "
            "Networks other than HRNet go with model=r50"
        ) from error


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
