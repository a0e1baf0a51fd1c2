"""From heatmaps to positions: any of these goes with any codec that draws Gaussians.

Each is called with heatmaps [B, K, h, w] and returns positions [B, K, 2] in cells, x before y, and scores
[B, K], the heatmaps' maxima. A heatmap without a positive cell gives (−1, −1) with score 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional
from typing_extensions import override


class Decoding(Protocol):
    """A way to find keypoints in heatmaps."""

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """Return positions in cells and scores."""
        ...


@dataclass(frozen=True)
class Argmax(Decoding):
    """The highest cell (Equation 2 of the thesis)."""

    @override
    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        return maximum(heatmaps)


@dataclass(frozen=True)
class QuarterShift(Decoding):
    """The highest cell, moved a quarter cell towards the higher neighbour on each axis (Equation 3).

    Args:
        both_axes: move only cells that have room along both axes, as MMPose 0.29 did; since 1.0 each axis is judged by
            itself.
    """

    both_axes: bool = False

    @override
    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        cells, scores = maximum(heatmaps)
        direction = neighbour_difference(heatmaps, cells).sign()
        if self.both_axes:
            last = torch.tensor(heatmaps.shape[:1:-1], device=cells.device) - 1
            direction = direction * ((cells > 1) & (cells < last)).all(dim=-1, keepdim=True)
        return cells + 0.25 * direction, scores


@dataclass(frozen=True)
class SecondHighest(Decoding):
    """The highest cell, moved a quarter cell towards the second highest (Equation 4; Newell et al. 2016)."""

    @override
    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        cells, scores = maximum(heatmaps)
        positions, width = heatmaps.flatten(2).topk(2, dim=-1).indices[..., 1], heatmaps.shape[-1]
        second = torch.stack([positions % width, positions // width], dim=-1)
        direction = functional.normalize(second - cells, dim=-1)
        return torch.where(scores[..., None] > 0, cells + 0.25 * direction, cells), scores


@dataclass(frozen=True)
class Dark(Decoding):
    """The extremum of a quadratic fit to the log-heatmap around its maximum (DARK, arXiv 1910.06278).

    Args:
        blur_kernel: odd side in cells of the Gaussian that smooths a heatmap first.
    """

    blur_kernel: int = 11

    @override
    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        cells, scores = maximum(heatmaps)
        logs = smooth_logs(heatmaps, cells, self.blur_kernel, reach=2, floor=1e-10)
        height, width = heatmaps.shape[-2:]
        x, y = cells.unbind(dim=-1)
        # The fit reaches two cells far, and the reference implementation leaves one more out.
        room = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
        return torch.where(room[..., None], cells - wide_newton_step(logs).to(cells.dtype), cells), scores


@dataclass(frozen=True)
class UdpDark(Decoding):
    """As `Dark`, with UDP's narrower differences (Huang et al. 2020, arXiv 1911.07524).

    Args:
        blur_kernel: odd side in cells of the Gaussian that smooths a heatmap first.
    """

    blur_kernel: int = 11

    @override
    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        cells, scores = maximum(heatmaps)
        logs = smooth_logs(heatmaps, cells, self.blur_kernel, reach=1, floor=1e-3, ceiling=50.0)
        refined = cells - narrow_newton_step(logs).to(cells.dtype)
        return torch.where(scores[..., None] > 0, refined, cells), scores


@dataclass(frozen=True)
class SoftArgmax(Decoding):
    """The mean position under the heatmap's softmax (Sun et al. 2018, arXiv 1711.08229).

    Args:
        sharpness: factor before the softmax, once each heatmap is scaled to a maximum of 1. Too small, and
            the background pulls towards the middle; too large, and the highest cell alone counts.
    """

    sharpness: float = 20.0

    @override
    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
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
    # The row first, then the place in it: maxima without their places are found several times as fast.
    values, y = heatmaps.amax(dim=-1).max(dim=-1)
    x = heatmaps.gather(2, y[..., None, None].expand(-1, -1, 1, heatmaps.shape[-1]))[:, :, 0].argmax(dim=-1)
    cells = torch.stack([x, y], dim=-1).to(heatmaps.dtype)
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


def smooth_logs(
    heatmaps: Tensor, cells: Tensor, kernel: int, reach: int, floor: float, ceiling: float = float("inf")
) -> Tensor:
    """Return the logarithms of smoothed heatmaps around their maxima.

    The reference implementations smooth whole heatmaps with OpenCV's Gaussian, scale each so that it keeps its
    maximum, clamp and take logarithms. Only the cells that are asked for are computed here.

    Args:
        heatmaps: [B, K, h, w].
        cells: [B, K, 2] the maxima, x before y; negative ones count as 0.
        kernel: odd side in cells of the Gaussian.
        reach: cells on each side of the maximum.
        floor: least value before the logarithm.
        ceiling: greatest value before the logarithm.

    Returns:
        [B, K, 2 reach + 1, 2 reach + 1] float64; beyond the border it repeats.
    """
    height, width = heatmaps.shape[-2:]
    offsets = torch.arange(-reach, reach + 1, device=heatmaps.device)
    x, y = cells.clamp(min=0).long().unbind(dim=-1)
    rows = smoothing_matrix(height, kernel, heatmaps)[(y[..., None] + offsets).clamp(0, height - 1)]
    columns = smoothing_matrix(width, kernel, heatmaps)[(x[..., None] + offsets).clamp(0, width - 1)]
    window = rows @ heatmaps @ columns.transpose(-1, -2)
    # Double precision, because second differences of a flat, noisy top cancel.
    return (window * _scale(heatmaps, window, kernel, floor, ceiling)).clamp(floor, ceiling).double().log()


def _scale(heatmaps: Tensor, window: Tensor, kernel: int, floor: float, ceiling: float) -> Tensor:
    """Return the factors [B, K, 1, 1] by which smoothed heatmaps keep their maxima, or 1 where they do not matter.

    A factor shifts the logarithms, and their differences do not see it unless clamping does. It is 1 or more,
    and scaled values stay below the heatmap's maximum, so most heatmaps need not be smoothed as a whole.
    """
    maxima = heatmaps.amax(dim=(-2, -1), keepdim=True)
    matters = ((window.amin(dim=(-2, -1), keepdim=True) < floor) | (maxima > ceiling))[..., 0, 0]
    if torch.compiler.is_exporting():
        # A graph in a file cannot choose heatmaps by what is in them.
        return torch.where(matters[..., None, None], _kept(heatmaps, maxima, kernel), 1.0)
    scale = torch.ones_like(maxima)
    if matters.any():
        scale[matters] = _kept(heatmaps[matters], maxima[matters], kernel)
    return scale


def _kept(heatmaps: Tensor, maxima: Tensor, kernel: int) -> Tensor:
    """Return the factors [..., 1, 1] by which heatmaps [..., h, w], once smoothed, have their maxima again."""
    rows, columns = (smoothing_matrix(length, kernel, heatmaps) for length in heatmaps.shape[-2:])
    after = (rows @ heatmaps @ columns).amax(dim=(-2, -1), keepdim=True)
    return maxima / after.clamp(min=torch.finfo(after.dtype).tiny)


def smoothing_matrix(length: int, kernel: int, like: Tensor) -> Tensor:
    """Return the matrix [length, length] that smooths a line of cells by OpenCV's Gaussian of an odd size."""
    sigma = 0.3 * ((kernel - 1) * 0.5 - 1) + 0.8
    positions = torch.arange(length, device=like.device, dtype=like.dtype)
    distance = positions[:, None] - positions
    taps = torch.arange(kernel, device=like.device, dtype=like.dtype) - kernel // 2
    weights = torch.exp(-(distance**2) / (2 * sigma**2)) * (distance.abs() <= kernel // 2)
    return weights / torch.exp(-(taps**2) / (2 * sigma**2)).sum()


def wide_newton_step(logs: Tensor) -> Tensor:
    """Return [B, K, 2]: Hessian⁻¹ × gradient at the centre of [B, K, 5, 5], from differences over two cells."""
    at = _around(logs)
    gradient = ((at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2)
    dxx, dyy = (at(2, 0) - 2 * at(0, 0) + at(-2, 0)) / 4, (at(0, 2) - 2 * at(0, 0) + at(0, -2)) / 4
    dxy = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / 4
    return _solve(gradient, dxx, dyy, dxy)


def narrow_newton_step(logs: Tensor) -> Tensor:
    """Return [B, K, 2]: Hessian⁻¹ × gradient at the centre of [B, K, 3, 3], from differences over one cell."""
    at = _around(logs)
    gradient = ((at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2)
    epsilon = torch.finfo(torch.float32).eps
    dxx = at(1, 0) - 2 * at(0, 0) + at(-1, 0) + epsilon
    dyy = at(0, 1) - 2 * at(0, 0) + at(0, -1) + epsilon
    dxy = (at(1, 1) - at(1, 0) - at(0, 1) + 2 * at(0, 0) - at(-1, 0) - at(0, -1) + at(-1, -1)) / 2
    return _solve(gradient, dxx, dyy, dxy)


def _around(window: Tensor) -> Callable[[int, int], Tensor]:
    """Return a function of an offset (dx, dy) from the centre of windows [B, K, n, n]."""
    center = window.shape[-1] // 2
    return lambda dx, dy: window[..., center + dy, center + dx]


def _solve(gradient: tuple[Tensor, Tensor], dxx: Tensor, dyy: Tensor, dxy: Tensor) -> Tensor:
    """Divide a gradient by a symmetric 2×2 Hessian; a singular one gives 0."""
    dx, dy = gradient
    determinant = dxx * dyy - dxy * dxy
    singular = (determinant == 0)[..., None]
    step = torch.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], dim=-1)
    return torch.where(singular, 0.0, step / torch.where(singular, 1.0, determinant[..., None]))
