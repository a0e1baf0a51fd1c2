"""Layers between those of a frozen decoder that turn its reconstruction into heatmaps (3FabRec, arXiv 1911.10448)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from lynx_pose.models.codecs.heatmap_codec import HeatmapCodec
from lynx_pose.models.heads.heatmap import HeatmapOutput, to_heatmaps


class InterleavedHead(HeatmapOutput):
    """Two 3×3 convolutions after each level, one of its map and one of its skip, summed; heatmaps of the crop's size.

    They begin as identities, so that training starts at the reconstruction. The last is a 1×1 convolution of the last
    level's map, doubled; the paper puts it after the decoder's three colours, which say less.

    Args:
        in_channels: of the decoder's last level.
        in_stride: 1.
        num_keypoints: K.
        codec: of stride 1.
        loss: of logits, heatmaps and weights.
        widths: of the decoder's levels.
        skipped: numbers of the levels that have a skip.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: HeatmapCodec,
        loss: nn.Module,
        widths: Sequence[int],
        skipped: Sequence[int],
    ):
        super().__init__(codec, loss)
        self.of_levels = nn.ModuleList(_identity(width) for width in widths)
        self.of_skips = nn.ModuleDict({str(number): _identity(widths[number]) for number in skipped})
        self.final_layer = to_heatmaps(in_channels, num_keypoints)

    def between(self, number: int, map_: Tensor, skip: Tensor | None) -> Tensor:
        """Return what follows a level [B, C, h, w] of the decoder, of its map and its skip's."""
        result: Tensor = self.of_levels[number](map_)
        return result if skip is None else result + self.of_skips[str(number)](skip)

    def forward(self, features: Tensor) -> Tensor:
        """Turn the last level's map [B, C, H, W] into logits of heatmaps [B, K, H, W]."""
        logits: Tensor = self.final_layer(features)
        return logits

    @override
    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        return self.codec.decode(torch.sigmoid(output.float()))


def _identity(width: int) -> nn.Conv2d:
    convolution = nn.Conv2d(width, width, 3, padding=1)
    nn.init.dirac_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
    return convolution
