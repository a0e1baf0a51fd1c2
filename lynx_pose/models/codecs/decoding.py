"""From heatmaps to positions: any of these goes with any codec that draws Gaussians.

Each is called with heatmaps [B, K, h, w] and returns positions [B, K, 2] in cells, x before y, and scores
[B, K], the heatmaps' maxima. A heatmap without a positive cell gives (−1, −1) with score 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Decoding(Protocol):
    """A way to find keypoints in heatmaps."""

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions in cells and scores."""
        ...


@dataclass(frozen=True)
class Argmax:
    """The highest cell (Equation 2 of the thesis)."""

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Decode."""
        return maximum(heatmaps)


@dataclass(frozen=True)
class QuarterShift:
    """The highest cell, moved a quarter cell towards the higher neighbour on each axis (Equation 3)."""

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Decode."""
        cells, scores = maximum(heatmaps)
        return cells + 0.25 * neighbour_difference(heatmaps, cells).sign(), scores


@dataclass(frozen=True)
class SecondHighest:
    """The highest cell, moved a quarter cell towards the second highest (Equation 4; Newell et al. 2016)."""

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Decode."""
        cells, scores = maximum(heatmaps)
        positions = heatmaps.flatten(2).topk(2, dim=-1).indices[..., 1]
        second = _as_cells(positions, heatmaps)
        direction = functional.normalize(second - cells, dim=-1)
        return torch.where(scores[..., None] > 0, cells + 0.25 * direction, cells), scores


@dataclass(frozen=True)
class Taylor:
    """The extremum of a quadratic fit to the log-heatmap around its maximum (DARK, arXiv 1910.06278).

    Args:
        blur_kernel: odd side in cells of the Gaussian that smooths a heatmap first.
    """

    blur_kernel: int = 11

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Decode."""
        cells, scores = maximum(heatmaps)
        logs = gaussian_blur(heatmaps, self.blur_kernel).clamp(min=1e-10).log()
        height, width = heatmaps.shape[-2:]
        x, y = cells.unbind(dim=-1)
        # The fit reaches two cells far, and the reference implementation leaves one more out.
        room = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
        offset = wide_newton_step(logs, cells.clamp(min=0).long())
        return torch.where(room[..., None], cells - offset, cells), scores


@dataclass(frozen=True)
class UdpTaylor:
    """As `Taylor`, with UDP's narrower differences (Huang et al. 2020, arXiv 1911.07524).

    Args:
        blur_kernel: odd side in cells of the Gaussian that smooths a heatmap first.
    """

    blur_kernel: int = 11

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Decode."""
        cells, scores = maximum(heatmaps)
        logs = gaussian_blur(heatmaps, self.blur_kernel).clamp(1e-3, 50.0).log()
        refined = cells - narrow_newton_step(logs, cells.clamp(min=0).long())
        return torch.where(scores[..., None] > 0, refined, cells), scores


@dataclass(frozen=True)
class SoftArgmax:
    """The mean position under the heatmap's softmax (Sun et al. 2018, arXiv 1711.08229).

    Args:
        sharpness: factor before the softmax, once each heatmap is scaled to a maximum of 1. Too small, and
            the background pulls towards the middle; too large, and the highest cell alone counts.
    """

    sharpness: float = 20.0

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Decode."""
        cells, scores = maximum(heatmaps)
        scale = self.sharpness / scores.clamp(min=torch.finfo(scores.dtype).tiny)
        weights = (heatmaps.flatten(2) * scale[..., None]).softmax(dim=-1).view_as(heatmaps)
        return torch.where(scores[..., None] > 0, mean_position(weights), cells), scores


@dataclass(frozen=True)
class Expectation:
    """The mean position under heatmaps that are probabilities (Sun et al. 2018, arXiv 1711.08229, Equation 2)."""

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Decode; negative cells count as 0."""
        _, scores = maximum(heatmaps)
        weights = heatmaps.clamp(min=0)
        total = weights.sum(dim=(-2, -1)).clamp(min=torch.finfo(weights.dtype).tiny)
        means = mean_position(weights) / total[..., None]
        return torch.where(scores[..., None] > 0, means, -1.0), scores


def mean_position(heatmaps: Tensor) -> Tensor:
    """Return the sum of positions [B, K, 2] in cells, weighted by heatmaps [B, K, h, w]."""
    height, width = heatmaps.shape[-2:]
    x = (heatmaps.sum(dim=-2) * torch.arange(width, device=heatmaps.device)).sum(dim=-1)
    y = (heatmaps.sum(dim=-1) * torch.arange(height, device=heatmaps.device)).sum(dim=-1)
    return torch.stack([x, y], dim=-1)


def maximum(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Find each heatmap's highest cell.

    Args:
        heatmaps: [B, K, h, w].

    Returns:
        cells [B, K, 2] as x, y, which are −1 where no cell is positive, and values [B, K], there 0.
    """
    values, positions = heatmaps.flatten(2).max(dim=-1)
    cells = _as_cells(positions, heatmaps)
    positive = values > 0
    return torch.where(positive[..., None], cells, -1.0), torch.where(positive, values, 0.0)


def _as_cells(positions: Tensor, heatmaps: Tensor) -> Tensor:
    """Turn positions in flattened heatmaps into x and y."""
    width = heatmaps.shape[-1]
    return torch.stack([positions % width, positions // width], dim=-1).to(heatmaps.dtype)


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


class _Around:
    """Reads log-heatmaps [B, K, h, w] at offsets from integer cells [B, K, 2]; beyond the border it repeats."""

    def __init__(self, logs: Tensor, cells: Tensor):
        # Second differences of a flat, noisy top cancel: double precision keeps their quotient meaningful.
        padded = functional.pad(logs, (2, 2, 2, 2), mode="replicate").double()
        self.width = padded.shape[-1]
        self.flat = padded.flatten(2)
        self.center = (cells[..., 1] + 2) * self.width + cells[..., 0] + 2

    def __call__(self, dx: int, dy: int) -> Tensor:
        return self.flat.gather(2, (self.center + dy * self.width + dx)[..., None])[..., 0]


def wide_newton_step(logs: Tensor, cells: Tensor) -> Tensor:
    """Return [B, K, 2]: Hessian⁻¹ × gradient at integer cells [B, K, 2], from differences over two cells."""
    at = _Around(logs, cells)
    gradient = ((at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2)
    dxx, dyy = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4, (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4
    dxy = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    return _solve(gradient, dxx, dyy, dxy).to(logs.dtype)


def narrow_newton_step(logs: Tensor, cells: Tensor) -> Tensor:
    """Return [B, K, 2]: Hessian⁻¹ × gradient at integer cells [B, K, 2], from differences over one cell."""
    at = _Around(logs, cells)
    gradient = ((at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2)
    epsilon = torch.finfo(torch.float32).eps
    dxx = at(1, 0) - 2 * at(0, 0) + at(-1, 0) + epsilon
    dyy = at(0, 1) - 2 * at(0, 0) + at(0, -1) + epsilon
    dxy = (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1)) / 2
    return _solve(gradient, dxx, dyy, dxy).to(logs.dtype)


def _solve(gradient: tuple[Tensor, Tensor], dxx: Tensor, dyy: Tensor, dxy: Tensor) -> Tensor:
    """Divide a gradient by a symmetric 2×2 Hessian; a singular one gives 0."""
    dx, dy = gradient
    determinant = dxx * dyy - dxy * dxy
    singular = (determinant == 0)[..., None]
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1)
    return torch.where(singular, 0.0, step / torch.where(singular, 1.0, determinant[..., None]))
