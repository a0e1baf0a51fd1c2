"""The head that finds all animals of a photograph (Papandreou et al. 2018, "PersonLab", arXiv 1803.08225)."""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lynx_pose.data.crop import CropConvention
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.offset_codec import OffsetCodec, OffsetMaps
from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.heads.heatmap import deconvolutions

# Of the losses of heat, short and mid-range offsets. The paper has 4, and the mean over all cells for heat: then a cell
# of a disk, of which there are one in a hundred, counts so little that some hundred photographs teach no heat at all.
LOSS_WEIGHTS = (1.0, 1.0, 0.25)
# Heat before training.
PRIOR = 0.01


class BottomUpHead(PoseHead):
    """Deconvolutions up to the codec's stride, and a 1×1 convolution to heat, short and mid-range offsets.

    Args:
        in_channels: of the feature map.
        in_stride: pixels per cell of the feature map.
        num_keypoints: K.
        codec: between the keypoints of several animals and maps.
        deconv_channels: of each deconvolution.
        deconv_kernel: side of its kernel.

    Raises:
        InputError: the codec's edges are no tree of the keypoints.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: OffsetCodec,
        deconv_channels: int = 128,
        deconv_kernel: int = 4,
    ):
        super().__init__()
        codec.require_tree(num_keypoints)
        self.codec = codec
        self.parts = [num_keypoints, 2 * num_keypoints, 2 * len(codec.directed_edges)]
        self.deconv_layers, self.final_layer = deconvolutions(
            in_channels, in_stride, sum(self.parts), codec.stride, deconv_channels, deconv_kernel
        )
        # Offsets come in radii of the largest disk, and so are about as large as features are.
        self.unit = codec.radii[1]
        with torch.no_grad():
            # Most cells are near no keypoint.
            self.final_layer.bias[:num_keypoints] = math.log(PRIOR / (1 - PRIOR))  # type: ignore[index]  # it has one

    @property
    def crop_convention(self) -> CropConvention:
        """The codec's."""
        return self.codec.crop_convention

    def forward(self, features: Tensor) -> Tensor:
        """Turn features [B, C, h', w'] into maps [B, 3 K + 4 E, h, w], as `split` takes them apart."""
        maps: Tensor = self.final_layer(self.deconv_layers(features))
        return maps

    def split(self, output: Tensor) -> OffsetMaps:
        """Return an output's logits of heat, and its offsets in input pixels, in float32."""
        heat, short, mid = output.float().split(self.parts, dim=1)
        return OffsetMaps(heat, short.unflatten(1, (-1, 2)) * self.unit, mid.unflatten(1, (-1, 2)) * self.unit)

    def loss(self, output: Tensor, keypoints: Tensor, weight: Tensor, **animals: Tensor) -> Tensor:
        """Return the weighted sum of three losses: cross entropy of the heat, and L1 of offsets in radii of the disks.

        Each is divided by the number of cells in disks.

        Args:
            output: [B, 3 K + 4 E, h, w].
            keypoints: [B, A, K, 2] in input pixels.
            weight: [B, A, K], 0 where not visible.
            animals: `boxes` [B, A, 4] and `sizes` [B, A], as the codec takes them.
        """
        with torch.no_grad():
            targets = self.codec.encode(keypoints, weight, **animals)
        found = self.split(output)
        heat = binary_cross_entropy_with_logits(found.heat, targets.maps.heat, targets.heat_weight, reduction="sum")
        parts = [heat / targets.maps.heat.sum().clamp(min=1)]
        for offsets, target, per_disk in (
            (found.short, targets.maps.short, targets.short_weight),
            (found.mid, targets.maps.mid, targets.mid_weight),
        ):
            errors = (offsets - target).abs().sum(dim=2) * per_disk
            parts.append(errors.sum() / (per_disk > 0).sum().clamp(min=1))
        return torch.stack([part * factor for part, factor in zip(parts, LOSS_WEIGHTS, strict=True)]).sum()

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, A, K, 2] in input pixels and scores [B, A, K]; NaN and 0 where there is no animal."""
        maps = self.split(output)
        return self.codec.decode(maps._replace(heat=maps.heat.sigmoid()))

    def average_flipped(self, output: Tensor, mirrored: Tensor, flip_indices: list[int]) -> Tensor:
        """Return the mean of the outputs of photographs and of their mirror images, as an output of the photographs.

        Raises:
            InputError: the tree of keypoints is not the same when left and right swap.
        """
        edges = self.codec.directed_edges
        swapped = [(flip_indices[start], flip_indices[end]) for start, end in edges]
        if not set(swapped) <= set(edges):
            raise InputError("flip_test=true: head.codec.edges change when left and right swap; add flip_test=false")
        heat, short, mid = mirrored.flip(-1).split(self.parts, dim=1)
        ours = [
            heat[:, flip_indices],
            self._unmirrored(short)[:, flip_indices].flatten(1, 2),
            self._unmirrored(mid)[:, [edges.index(edge) for edge in swapped]].flatten(1, 2),
        ]
        joined = torch.cat(ours, dim=1)
        # Cell i is at pixel i × stride from the left, so the mirrored map lies a cell, but for a pixel, to the right.
        return (output + torch.cat([joined[..., :1], joined[..., :-1]], dim=-1)) / 2

    def _unmirrored(self, offsets: Tensor) -> Tensor:
        """Return offsets [B, 2 N, h, w] of mirrored photographs as [B, N, 2, h, w] of the photographs, in units."""
        across, down = offsets.unflatten(1, (-1, 2)).unbind(dim=2)
        return torch.stack([-across - 1 / self.unit, down], dim=2)
