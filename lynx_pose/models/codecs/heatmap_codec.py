"""Gaussian heatmaps: the classic codec, its unbiased form, and UDP's (Huang et al. 2020, arXiv 1911.07524).

A codec names the crop's convention that it belongs to, and the data takes it from there; so the two cannot be mixed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from lynx_pose.data.crop import CropConvention
from lynx_pose.errors import InputError
from lynx_pose.models.codecs.decoding import Dark, Decoding, QuarterShift, UdpDark


@dataclass(frozen=True)
class HeatmapCodec(ABC):
    """What the heatmap codecs share.

    Args:
        input_size: (width, height) of the crop in pixels.
        sigma: standard deviation of a target's Gaussian, in heatmap cells.
        stride: crop pixels per heatmap cell.
        decoding: how keypoints are found in heatmaps.
        absent_weight: of an empty heatmap for keypoints that are annotated and lie outside the crop, as after half-body
            augmentation; 0 teaches nothing of them, as MMPose.
    """

    input_size: tuple[int, int]
    sigma: float = 2.0
    stride: int = 4
    decoding: Decoding = field(default=QuarterShift())
    absent_weight: float = 0.0

    crop_convention: ClassVar[CropConvention]
    # Cells by which a mirrored heatmap is moved.
    flip_shift: ClassVar[float]

    def __post_init__(self) -> None:
        if any(side % self.stride for side in self.input_size):
            raise InputError(f"model.input_size={list(self.input_size)}: must be multiples of {self.stride}")

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """(width, height) in cells."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride

    def unflip(self, heatmaps: Tensor, flip_indices: list[int]) -> Tensor:
        """Turn the heatmaps [B, K, h, w] of mirrored crops into those of the crops themselves."""
        mirrored = heatmaps.flip(-1)[:, flip_indices]
        if not self.flip_shift:
            return mirrored
        moved = torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=-1)
        # Part of a cell is moved by interpolation.
        return moved if self.flip_shift == 1 else self.flip_shift * moved + (1 - self.flip_shift) * mirrored

    def encode(self, keypoints: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the targets.

        Args:
            keypoints: [B, K, 2] in crop pixels.
            weight: [B, K], 0 where a keypoint is not visible.

        Returns:
            heatmaps [B, K, h, w] and weights [B, K]; where the Gaussian stays outside the heatmap is empty, and the
            weight `absent_weight` times what it was.
        """
        heatmaps, inside = self._draw(keypoints / self.cell_pixels(keypoints), weight)
        return heatmaps, torch.where(inside > 0, inside, self.absent_weight * weight.to(inside.dtype))

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Find the keypoints.

        Args:
            heatmaps: [B, K, h, w].

        Returns:
            keypoints [B, K, 2] in crop pixels and scores [B, K], the maxima. A heatmap without a positive
            cell gives a point outside the crop with score 0.
        """
        cells, scores = self.decoding(heatmaps)
        return cells * self.cell_pixels(heatmaps), scores

    @abstractmethod
    def _draw(self, centers: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Draw targets around centres [B, K, 2] in cells."""

    @abstractmethod
    def cell_pixels(self, like: Tensor) -> Tensor:
        """Crop pixels between cell centres: [2] for x and y."""

    def _gaussians(self, centers: Tensor, cells: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Draw Gaussians at `centers`, cut off three sigma around `cells`, both [B, K, 2] in cells."""
        size = torch.tensor(self.heatmap_size, device=cells.device)
        radius = 3 * self.sigma
        reaches = ((cells - radius < size) & (cells + radius + 1 >= 0)).all(dim=-1)
        weight = (weight * reaches).to(centers.dtype)
        axes = [
            self._profile(centers[..., axis], cells[..., axis], length) for axis, length in enumerate(self.heatmap_size)
        ]
        rows = axes[1] * (weight > 0)[..., None]
        return rows[..., :, None] * axes[0][..., None, :], weight

    def _profile(self, center: Tensor, cell: Tensor, length: int) -> Tensor:
        positions = torch.arange(length, device=center.device, dtype=center.dtype)
        gaussian = torch.exp(-((positions - center[..., None]) ** 2) / (2 * self.sigma**2))
        return gaussian * self._near(positions, cell)

    def _near(self, positions: Tensor, cell: Tensor) -> Tensor:
        """Which cells the Gaussian around `cell` covers."""
        return (positions - cell[..., None]).abs() <= 3 * self.sigma


@dataclass(frozen=True)
class ClassicHeatmap(HeatmapCodec):
    """Gaussian at the nearest cell (Xiao et al. 2018, arXiv 1804.06208); cell i sits at crop pixel i × stride."""

    crop_convention: ClassVar = CropConvention.CLASSIC
    # The nearest cell of i mirrors to w − i, not to w − 1 − i.
    flip_shift: ClassVar[float] = 1

    def _draw(self, centers: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        cells = (centers + 0.5).trunc()
        return self._gaussians(cells, cells, weight)

    @override
    def cell_pixels(self, like: Tensor) -> Tensor:
        return torch.full((2,), float(self.stride), device=like.device, dtype=like.dtype)


@dataclass(frozen=True)
class UnbiasedHeatmap(ClassicHeatmap):
    """Gaussian at the exact position, over the whole heatmap (Zhang et al. 2019, arXiv 1910.06278)."""

    decoding: Decoding = field(default=Dark())

    def _draw(self, centers: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return self._gaussians(centers, centers, weight)

    def _near(self, positions: Tensor, cell: Tensor) -> Tensor:
        return torch.ones_like(positions - cell[..., None])


@dataclass(frozen=True)
class ExactlyUnbiasedHeatmap(UnbiasedHeatmap):
    """As `UnbiasedHeatmap`, with mirrored heatmaps where they belong.

    Crop pixel x mirrors to W − 1 − x, which is w − 1/4 cells minus x's own with a stride of 4; MMPose moves by whole
    cells, and so its flip test is half a crop pixel off.
    """

    @property
    def flip_shift(self) -> float:  # type: ignore[override]  # depends on the stride
        """Cells by which a mirrored heatmap is moved."""
        return 1 - 1 / self.stride


@dataclass(frozen=True)
class UdpHeatmap(HeatmapCodec):
    """Gaussian at the exact position, in a heatmap that spans the crop between its outer pixel centres."""

    decoding: Decoding = field(default=UdpDark())
    crop_convention: ClassVar = CropConvention.UDP
    flip_shift: ClassVar[float] = 0

    def _draw(self, centers: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        return self._gaussians(centers, (centers + 0.5).trunc(), weight)

    @override
    def cell_pixels(self, like: Tensor) -> Tensor:
        steps = [(pixels - 1) / (cells - 1) for pixels, cells in zip(self.input_size, self.heatmap_size, strict=True)]
        return torch.tensor(steps, device=like.device, dtype=like.dtype)
