"""Three-dimensional heatmaps of integral regression (Sun et al. 2018, arXiv 1711.08229)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lynx_pose.data.crop import CropConvention
from lynx_pose.errors import InputError


@dataclass(frozen=True)
class Volume:
    """Heatmaps of depth × height × width cells, whose centre in depth is the animal's root.

    Args:
        input_size: (width, height) of the crop in pixels.
        stride: crop pixels per cell, across and down.
        depth_cells: D; the paper has 64.
        depth_range: of the volume, in widths of the crop.
        sigma: of a target's Gaussian, in cells.
        reach: cells on each side of the keypoint, beyond which a target is 0; 5 gives cubes of 11 × 11 × 11.
        peak: of a target.
    """

    input_size: tuple[int, int]
    stride: int = 4
    depth_cells: int = 32
    depth_range: float = 1.5
    sigma: float = 1.0
    reach: int = 5
    peak: float = 1.0
    crop_convention: ClassVar = CropConvention.CLASSIC

    def __post_init__(self) -> None:
        if any(side % self.stride for side in self.input_size):
            raise InputError(f"model.input_size={list(self.input_size)}: must be multiples of {self.stride}")
        if self.depth_cells < 2 or not self.depth_range > 0:
            raise InputError(
                f"head.codec.depth_cells={self.depth_cells}, depth_range={self.depth_range}: must be at least 2, and "
                "above 0"
            )

    @property
    def size(self) -> tuple[int, int, int]:
        """(width, height, depth) in cells."""
        return self.input_size[0] // self.stride, self.input_size[1] // self.stride, self.depth_cells

    @property
    def depth_cell(self) -> float:
        """Crop pixels per cell in depth."""
        return self.depth_range * self.input_size[0] / self.depth_cells

    def to_cells(self, points: Tensor) -> Tensor:
        """Turn points [..., 3] in crop pixels, x, y, and depth behind the root, into cells."""
        depth = points[..., 2:] / self.depth_cell + (self.depth_cells - 1) / 2
        return torch.cat([points[..., :2] / self.stride, depth], dim=-1)

    def to_crop(self, cells: Tensor) -> Tensor:
        """Turn cells [..., 3] into points in crop pixels."""
        depth = (cells[..., 2:] - (self.depth_cells - 1) / 2) * self.depth_cell
        return torch.cat([cells[..., :2] * self.stride, depth], dim=-1)

    def encode(self, keypoints: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the targets.

        Args:
            keypoints: [B, K, 3] in crop pixels.
            weight: [B, K], 0 where a keypoint is not visible.

        Returns:
            heatmaps [B, K, D, h, w], and weights [B, K], which are 0 where the keypoint lies outside the volume.
        """
        cells = self.to_cells(keypoints)
        size = torch.tensor(self.size, device=keypoints.device)
        weight = weight * ((cells >= 0) & (cells <= size - 1)).all(dim=-1)
        x, y, z = (self._along(cells[..., axis], count) for axis, count in enumerate(self.size))
        heatmaps = z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]
        return self.peak * heatmaps, weight

    def unflip(self, heatmaps: Tensor, flip_indices: list[int]) -> Tensor:
        """Turn the heatmaps [B, K, D, h, w] of mirrored crops into those of the crops themselves."""
        mirrored = heatmaps.flip(-1)[:, flip_indices]
        # Cell i sits at pixel i × stride, whose mirror image is no cell's; one cell is the nearest.
        return torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=-1)

    def _along(self, centers: Tensor, count: int) -> Tensor:
        """Return the Gaussian [B, K, count] about centres [B, K] along one axis, cut off at its reach."""
        distance = torch.arange(count, device=centers.device) - centers[..., None]
        return torch.exp(-(distance**2) / (2 * self.sigma**2)) * (distance.abs() <= self.reach)


def marginals(heatmaps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums [B, K, w], [B, K, h] and [B, K, D] of heatmaps [B, K, D, h, w] along x, y and z."""
    plane = heatmaps.sum(dim=2)
    return plane.sum(dim=2), plane.sum(dim=3), heatmaps.sum(dim=(3, 4))


def mean_cell(heatmaps: Tensor) -> Tensor:
    """Return the expected cell [B, K, 3] as x, y, z under probabilities [B, K, D, h, w] (Equations 2 to 4)."""
    along = marginals(heatmaps)
    return torch.stack(
        [(axis * torch.arange(axis.shape[-1], device=axis.device)).sum(dim=-1) for axis in along], dim=-1
    )
