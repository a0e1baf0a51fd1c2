"""Gaussian heatmaps: the classic codec, and UDP's (Huang et al. 2020, arXiv 1911.07524).

A codec names the crop's map that it belongs to (`warp_matrix`), and the data takes it from there; so the
two conventions cannot be mixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from lynx_pose.data.crop import CropBox, Matrix, classic_matrix, udp_matrix
from lynx_pose.errors import InputError


@dataclass(frozen=True)
class HeatmapCodec:
    """What both codecs share.

    Args:
        input_size: (width, height) of the crop in pixels.
        sigma: standard deviation of a target's Gaussian, in heatmap cells.
        stride: crop pixels per heatmap cell.
    """

    input_size: tuple[int, int]
    sigma: float = 2.0
    stride: int = 4

    flip_shift: ClassVar[int]

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
        if self.flip_shift:
            # Cell i of the classic heatmap mirrors to cell w − i, not w − 1 − i.
            mirrored = torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=-1)
        return mirrored

    def _encode(self, centers: Tensor, cells: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Draw Gaussians at `centers`, cut off three sigma around `cells`, both [B, K, 2] in heatmap cells."""
        size = torch.tensor(self.heatmap_size, device=cells.device)
        radius = 3 * self.sigma
        reaches = ((cells - radius < size) & (cells + radius + 1 >= 0)).all(dim=-1)
        weight = (visible & reaches).to(centers.dtype)
        axes = [
            self._profile(centers[..., axis], cells[..., axis], length) for axis, length in enumerate(self.heatmap_size)
        ]
        heatmaps = axes[1][..., :, None] * axes[0][..., None, :]
        return heatmaps * weight[..., None, None], weight

    def _profile(self, center: Tensor, cell: Tensor, length: int) -> Tensor:
        positions = torch.arange(length, device=center.device, dtype=center.dtype)
        near = (positions - cell[..., None]).abs() <= 3 * self.sigma
        return torch.exp(-((positions - center[..., None]) ** 2) / (2 * self.sigma**2)) * near


@dataclass(frozen=True)
class ClassicHeatmap(HeatmapCodec):
    """Gaussian at the nearest cell; the maximum, moved a quarter cell towards the higher neighbour.

    Cell i sits at crop pixel i × stride. Encoding as Xiao et al. 2018 (arXiv 1804.06208), decoding by
    Equation 3 of the thesis.
    """

    flip_shift: ClassVar[int] = 1

    def warp_matrix(self, crop: CropBox, output_size: tuple[int, int]) -> Matrix:
        """Map image pixels to crop pixels as this codec needs it."""
        return classic_matrix(crop, output_size)

    def encode(self, keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the targets.

        Args:
            keypoints: [B, K, 2] in crop pixels.
            visible: [B, K] bool.

        Returns:
            heatmaps [B, K, h, w] and weights [B, K]; the weight is 0 where the Gaussian stays outside.
        """
        cells = (keypoints / self.stride + 0.5).trunc()
        return self._encode(cells, cells, visible)

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Find the keypoints.

        Args:
            heatmaps: [B, K, h, w].

        Returns:
            keypoints [B, K, 2] in crop pixels and scores [B, K], the maxima. An empty heatmap gives
            (−stride, −stride) with score 0.
        """
        cells, scores = maximum(heatmaps)
        refined = cells + 0.25 * neighbour_difference(heatmaps, cells).sign()
        return refined * self.stride, scores


@dataclass(frozen=True)
class UdpHeatmap(HeatmapCodec):
    """Gaussian at the exact position; the maximum, refined by a Taylor expansion of the log-heatmap.

    The heatmap spans the crop from outer pixel centre to outer pixel centre. Refinement as in DARK (Zhang
    et al. 2019, arXiv 1910.06278) in UDP's form.

    Args:
        blur_kernel: odd side in cells of the Gaussian that smooths a heatmap before refinement.
    """

    blur_kernel: int = 11
    flip_shift: ClassVar[int] = 0

    def warp_matrix(self, crop: CropBox, output_size: tuple[int, int]) -> Matrix:
        """Map image pixels to crop pixels as this codec needs it."""
        return udp_matrix(crop, output_size)

    def encode(self, keypoints: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the targets; arguments and result as `ClassicHeatmap.encode`."""
        centers = keypoints / self._cell_pixels(keypoints)
        return self._encode(centers, (centers + 0.5).trunc(), visible)

    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Find the keypoints; argument and result as `ClassicHeatmap.decode`."""
        cells, scores = maximum(heatmaps)
        smooth = gaussian_blur(heatmaps, self.blur_kernel).clamp(1e-3, 50.0).log()
        refined = cells - taylor_offset(smooth, cells.clamp(min=0).long())
        refined = torch.where(scores[..., None] > 0, refined, cells)
        return refined * self._cell_pixels(heatmaps), scores

    def _cell_pixels(self, like: Tensor) -> Tensor:
        """Crop pixels between cell centres: [2] for x and y."""
        steps = [(pixels - 1) / (cells - 1) for pixels, cells in zip(self.input_size, self.heatmap_size, strict=True)]
        return torch.tensor(steps, device=like.device, dtype=like.dtype)


def maximum(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Find each heatmap's highest cell.

    Args:
        heatmaps: [B, K, h, w].

    Returns:
        cells [B, K, 2] as x, y, which are −1 where no cell is positive, and values [B, K], there 0.
    """
    values, positions = heatmaps.flatten(2).max(dim=-1)
    width = heatmaps.shape[-1]
    cells = torch.stack([positions % width, positions // width], dim=-1).to(heatmaps.dtype)
    positive = values > 0
    return torch.where(positive[..., None], cells, -1.0), torch.where(positive, values, 0.0)


def neighbour_difference(heatmaps: Tensor, cells: Tensor) -> Tensor:
    """Return [B, K, 2]: right minus left and lower minus upper neighbour of each cell.

    It is 0 along an axis where the cell is one of the first two or the last, and for both axes where the
    cell is the first or beyond along the other; the reference implementation refines nothing there.
    """
    height, width = heatmaps.shape[-2:]
    x, y = cells[..., 0].long(), cells[..., 1].long()
    flat = heatmaps.flatten(2)

    def at(column: Tensor, row: Tensor) -> Tensor:
        position = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        return flat.gather(2, position[..., None])[..., 0]

    refine_x = (x > 1) & (x < width - 1) & (y > 0)
    refine_y = (y > 1) & (y < height - 1) & (x > 0)
    difference_x = torch.where(refine_x, at(x + 1, y) - at(x - 1, y), 0.0)
    difference_y = torch.where(refine_y, at(x, y + 1) - at(x, y - 1), 0.0)
    return torch.stack([difference_x, difference_y], dim=-1)


def gaussian_blur(heatmaps: Tensor, kernel: int) -> Tensor:
    """Smooth [B, K, h, w] with OpenCV's Gaussian of an odd size in cells; each heatmap keeps its maximum."""
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    offsets = torch.arange(kernel, device=heatmaps.device, dtype=heatmaps.dtype) - kernel // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    maps = heatmaps.flatten(0, 1)[:, None]
    maps = functional.conv2d(maps, weights[None, None, :, None], padding=(kernel // 2, 0))
    maps = functional.conv2d(maps, weights[None, None, None, :], padding=(0, kernel // 2))
    blurred = maps[:, 0].view_as(heatmaps)
    before, after = heatmaps.amax(dim=(-2, -1), keepdim=True), blurred.amax(dim=(-2, -1), keepdim=True)
    return blurred * before / after.clamp(min=torch.finfo(blurred.dtype).tiny)


def taylor_offset(logs: Tensor, cells: Tensor) -> Tensor:
    """Return [B, K, 2]: Hessian⁻¹ × gradient of log-heatmaps [B, K, h, w] at integer cells [B, K, 2]."""
    padded = functional.pad(logs, (1, 1, 1, 1), mode="replicate")
    width = padded.shape[-1]
    flat = padded.flatten(2)
    center = (cells[..., 1] + 1) * width + cells[..., 0] + 1

    def at(dx: int, dy: int) -> Tensor:
        # Second differences of a flat, noisy top cancel: double precision keeps their quotient meaningful.
        return flat.gather(2, (center + dy * width + dx)[..., None])[..., 0].double()

    dx, dy = (at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2
    dxx, dyy = at(1, 0) - 2 * at(0, 0) + at(-1, 0), at(0, 1) - 2 * at(0, 0) + at(0, -1)
    dxy = (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1)) / 2
    epsilon = torch.finfo(torch.float32).eps
    dxx, dyy = dxx + epsilon, dyy + epsilon
    determinant = dxx * dyy - dxy * dxy
    safe = torch.where(determinant == 0, 1.0, determinant)
    offset = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1) / safe[..., None]
    return torch.where((determinant == 0)[..., None], 0.0, offset).to(logs.dtype)
