"""The reconstruction network of paper 1818 ("A Synthesis Approach to Semi-Supervised 3D Pose Estimation from Single
Images", section 3.1; after 3FabRec, Browatzki and Wallraven 2020, arXiv 1911.10448), and what finds keypoints with it.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import timm
import torch
from timm.models.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn.functional import interpolate

from lynx_pose.errors import InputError
from lynx_pose.models.backbones import FeatureInfo
from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.pose_net import PoseNet

# Of the decoder's levels, from 1/64 of the crop's side to half of it.
WIDTHS = (512, 256, 128, 64, 64, 64)
# What happens between two levels: of the level's number, its map, and the skip's map where it has one.
Between = Callable[[int, Tensor, Tensor | None], Tensor]


class Encoder(nn.Module):
    """ResNet-18 and one block more, down to 1/64 of the crop.

    Args:
        in_chans: of what it sees.
    """

    def __init__(self, in_chans: int = 3):
        super().__init__()
        self.body = timm.create_model("resnet18", features_only=True, in_chans=in_chans)
        halved = nn.Sequential(nn.Conv2d(512, 512, 1, stride=2, bias=False), nn.BatchNorm2d(512))
        self.bottleneck = BasicBlock(512, 512, stride=2, downsample=halved)
        self.feature_info = FeatureInfo(512, 64)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Turn [B, in_chans, H, W] into maps of 1/2, 1/4, …, 1/64 of its height and width.

        Raises:
            InputError: they are no multiples of 64.
        """
        if image.shape[-1] % 64 or image.shape[-2] % 64:
            raise InputError(f"model.input_size={[image.shape[-1], image.shape[-2]]}: must be multiples of 64")
        maps = self.body(image)
        return [*maps, self.bottleneck(maps[-1])]


class Autoencoder(nn.Module):
    """The encoder, and a decoder back up to the crop.

    The paper says that the decoder is "directly derived from ResNet"; ours doubles by nearest neighbours, then has a
    basic block. Skips, 3×3 convolutions that are added to the decoder's map, are at the two outermost levels alone, and
    are 0 before they are trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        first = nn.Sequential(nn.Conv2d(512, 512, 3, padding=1, bias=False), nn.BatchNorm2d(512), nn.ReLU())
        self.levels = nn.ModuleList([first])
        for before, width in pairwise(WIDTHS):
            shortcut = nn.Sequential(nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width))
            self.levels.append(BasicBlock(before, width, downsample=shortcut if before != width else None))
        self.skips = nn.ModuleDict({"4": nn.Conv2d(64, 64, 3, padding=1), "5": nn.Conv2d(64, 64, 3, padding=1)})
        for skip in self.skips.values():
            nn.init.zeros_(skip.weight)  # type: ignore[arg-type]  # a convolution's
            nn.init.zeros_(skip.bias)  # type: ignore[arg-type]  # a convolution's
        self.out = nn.Conv2d(WIDTHS[-1], 3, 3, padding=1)
        # Of what `decode` returns, before it is doubled.
        self.feature_info = FeatureInfo(WIDTHS[-1], 1)

    def forward(self, image: Tensor) -> Tensor:
        """Turn normalised images [B, 3, H, W] into their reconstructions, RGB from 0 to 1."""
        return torch.as_tensor(self.out(_doubled(self.decode(image, _added))))

    def decode(self, image: Tensor, between: Between) -> Tensor:
        """Turn normalised images [B, 3, H, W] into the last level's map [B, 64, H/2, W/2].

        Args:
            image: height and width are multiples of 64.
            between: what follows each level.

        Raises:
            InputError: they are not.
        """
        half, quarter, *_, result = self.encoder(image)
        skipped = {4: quarter, 5: half}
        for number, level in enumerate(self.levels):
            result = level(_doubled(result) if number else result)
            skip = self.skips[str(number)](skipped[number]) if number in skipped else None
            result = between(number, result, skip)
        return torch.as_tensor(result)


def _added(number: int, map_: Tensor, skip: Tensor | None) -> Tensor:
    return map_ if skip is None else map_ + skip


def _doubled(map_: Tensor) -> Tensor:
    return interpolate(map_, scale_factor=2.0, mode="nearest")


class InterleavedNet(PoseNet):
    """The reconstruction network, frozen, with layers of the head's between those of its decoder (section 3.2).

    Args:
        backbone: the `Autoencoder`; it is not trained, and its batch statistics stay.
        head: makes the `InterleavedHead`.
        num_keypoints: K.
        channels_last: memory layout of weights and activations.
    """

    backbone: Autoencoder

    def __init__(
        self, backbone: Autoencoder, head: Callable[..., PoseHead], num_keypoints: int, channels_last: bool = True
    ):
        super().__init__(backbone, head, num_keypoints, channels_last)
        backbone.requires_grad_(False)

    def train(self, mode: bool = True) -> "InterleavedNet":
        """Switch the head alone between training and validation."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, image: Tensor) -> Any:
        """Turn crops [B, H, W, 3], uint8 RGB, into logits of heatmaps [B, K, H, W]."""
        head: Any = self.head
        return head(_doubled(self.backbone.decode(self.normalize(image), head.between)))
