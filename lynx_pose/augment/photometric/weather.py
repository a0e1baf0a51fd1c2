"""Weather of the thesis that albumentations 2.0.8 draws by other algorithms than the version it used."""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from typing_extensions import override

from lynx_pose.arrays import AnyArray, Pixels
from lynx_pose.augment.photometric.blur import box_blur, spread
from lynx_pose.augment.pixel_grid import GridTransform, PixelGrid
from lynx_pose.data.crop import compose, invert, transform_points

Range = tuple[float, float]
Point = tuple[int, int]
Disc = tuple[float, Point, int, tuple[int, int, int]]
# OpenCV draws circles at fractions of a pixel of this many bits, and those of whole pixels by another algorithm.
FRACTION_BITS = 4
# PixelGrid pixels that the rain's blur must span to do what it does to image pixels (37 dB).
PLACES = 1.8


class Rain(GridTransform):
    """Short slanted drops over the image, then a blur and a darkening of the whole.

    Args:
        slant_limit: range of the horizontal offset between a drop's ends, in pixels; one for all drops.
        pixels_per_drop: image area for each drop.
        drop_length: vertical extent of a drop in pixels.
        drop_width: pixels.
        drop_color: grey level of a drop.
        blur_value: side of the averaging blur in pixels.
        brightness_coefficient: factor of the HSV value.
        p: probability.
    """

    def __init__(
        self,
        slant_limit: Range,
        pixels_per_drop: int,
        drop_length: int,
        drop_width: int,
        drop_color: int,
        blur_value: int,
        brightness_coefficient: float,
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.slant_limit = tuple(slant_limit)
        self.pixels_per_drop = pixels_per_drop
        self.drop_length = drop_length
        self.drop_width = drop_width
        self.drop_color = drop_color
        self.blur_value = blur_value
        self.brightness_coefficient = brightness_coefficient

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw the slant and the upper end of each drop."""
        grid.require_pixel_size(self.blur_value / PLACES)
        width, height = grid.image_size
        slant = int(self.py_random.uniform(*self.slant_limit))
        count = height * width // self.pixels_per_drop
        left, right = (slant, width) if slant < 0 else (0, max(width - slant, 0))
        xs = self.random_generator.integers(left, right + 1, count)
        ys = self.random_generator.integers(0, max(height - self.drop_length, 0) + 1, count)
        return {"slant": slant, "drops": np.column_stack([xs, ys])}

    @override
    def apply(self, img: Pixels, slant: int, drops: AnyArray, grid: PixelGrid, **params: Any) -> Pixels:
        paint = self._paint_lines if grid.is_native else self._paint_shares
        hsv = cv2.cvtColor(paint(img, slant, drops, grid), cv2.COLOR_RGB2HSV)
        darker = (np.arange(256, dtype=np.float32) * np.float32(self.brightness_coefficient)).astype(np.uint8)
        hsv[..., 2] = cv2.LUT(np.ascontiguousarray(hsv[..., 2]), darker)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    def _paint_lines(self, img: Pixels, slant: int, drops: AnyArray, grid: PixelGrid) -> Pixels:
        """Draw each drop as a line of image pixels, then blur."""
        wet = img.copy()
        color = (self.drop_color,) * 3
        for x, y in (drops - grid.origin).tolist():
            cv2.line(wet, (x, y), (x + slant, y + self.drop_length), color, self.drop_width)
        return cv2.blur(wet, (self.blur_value, self.blur_value))

    def _paint_shares(self, img: Pixels, slant: int, drops: AnyArray, grid: PixelGrid) -> Pixels:
        """Blur, and blend with the drops' colour by the share of drops in each pixel's surroundings."""
        blurred = box_blur(img, self.blur_value / grid.pixel_size)
        share = self._drop_share(slant, drops, grid, img.shape[:2])[..., None]
        return cv2.convertScaleAbs(blurred + share * (np.float32(self.drop_color) - blurred))

    def _drop_share(self, slant: int, drops: AnyArray, grid: PixelGrid, shape: tuple[int, int]) -> AnyArray:
        """Return for each grid pixel [H, W] the share of drops in the square that the blur averages over."""
        cell = self.blur_value / 3
        corners = np.array([[0, 0], [shape[1], 0], [0, shape[0]], [shape[1], shape[0]]])
        seen = transform_points(corners, invert(grid.matrix)) / cell
        start = np.floor(seen.min(axis=0)).astype(np.int64) - self.drop_length
        columns, rows = (np.ceil(seen.max(axis=0)).astype(np.int64) + self.drop_length - start).tolist()
        cells = np.rint(drops / cell).astype(np.int64) - start
        inside = ((cells >= 0) & (cells < (columns, rows))).all(axis=1)
        tops = np.bincount(cells[inside] @ (1, columns), minlength=rows * columns).reshape(rows, columns)
        drop, anchor = spread(-self._drop_pixels(slant) / cell)
        wet = cv2.filter2D(tops.astype(np.float32), -1, drop, anchor=anchor, borderType=cv2.BORDER_CONSTANT)
        share = cv2.blur(wet, (3, 3)) / np.float32(cell**2)
        to_image = np.column_stack([np.eye(2) * cell, start * cell])
        sampled = cv2.warpAffine(share, compose(grid.matrix, to_image), shape[::-1], flags=cv2.INTER_LINEAR)
        return np.minimum(sampled, 1)

    def _drop_pixels(self, slant: int) -> AnyArray:
        """Return the pixels [N, 2] of a drop, relative to its upper end."""
        mask = np.zeros((self.drop_length + 1 + 2 * self.drop_width, abs(slant) + 1 + 2 * self.drop_width), np.uint8)
        start = (max(-slant, 0) + self.drop_width, self.drop_width)
        cv2.line(mask, start, (start[0] + slant, start[1] + self.drop_length), 1, self.drop_width)
        ys, xs = np.nonzero(mask)
        return np.column_stack([xs, ys]) - start


class Fog(GridTransform):
    """Translucent white discs, denser around the centre, then a blur.

    Args:
        fog_coef: range of k_f, which sets the discs' width (a third of the image's, times k_f) and opacity.
        alpha_coef: opacity of one disc is `alpha_coef` × k_f.
        p: probability.
    """

    def __init__(self, fog_coef: Range, alpha_coef: float, p: float = 0.5):
        super().__init__(p=p)
        self.fog_coef = tuple(fog_coef)
        self.alpha_coef = alpha_coef

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw k_f and the discs' upper left corners, in rings that shrink towards the centre."""
        width, height = grid.image_size
        fog_coef = self.py_random.uniform(*self.fog_coef)
        disc_width = max(1, int(width // 3 * fog_coef))
        corners = []
        for ring, (margin_x, margin_y) in enumerate(_rings(width, height, disc_width), start=1):
            count = disc_width // 10 * ring
            xs = self.random_generator.integers(margin_x, width - margin_x - disc_width + 1, count)
            ys = self.random_generator.integers(margin_y, height - margin_y - disc_width + 1, count)
            corners.append(np.column_stack([xs, ys]))
        return {"fog_coef": fog_coef, "corners": np.concatenate(corners or [np.empty((0, 2), np.int64)])}

    def apply(self, img: Pixels, fog_coef: float, corners: AnyArray, grid: PixelGrid, **params: Any) -> Pixels:
        """Cover [H, W, 3]. A disc does the same to each pixel, so only their number over it matters."""
        disc_width = max(int(grid.image_size[0] // 3 * fog_coef), 10)
        centers = np.rint(grid.points(corners + disc_width // 2)).astype(np.int64)
        counts = _count_discs(centers, disc_width // 2 / grid.pixel_size, img.shape[:2])
        tables = _repeated_blend(self.alpha_coef * fog_coef, int(counts.max(initial=0)))
        return box_blur(tables[counts[..., None], img], max(disc_width // 10, 1) / grid.pixel_size)


def _rings(width: int, height: int, disc_width: int) -> Iterator[Point]:
    """Yield the margins (x, y) that keep each ring's discs away from the image's borders, innermost first."""
    margin_x, margin_y = width // 2 - 2 * disc_width, height // 2 - disc_width
    while margin_x > -disc_width or margin_y > -disc_width:
        yield margin_x, margin_y
        margin_x -= 3 * disc_width * width // (width + height)
        margin_y -= 3 * disc_width * height // (width + height)


def _count_discs(centers: AnyArray, radius: float, shape: tuple[int, int]) -> AnyArray:
    """Count for each pixel of an image the discs that cover it."""
    reach = math.ceil(radius)
    side = 2 * reach + 1
    disc = np.zeros((side, side), dtype=np.uint8)
    bits = 0 if radius == reach else FRACTION_BITS
    cv2.circle(disc, (reach << bits, reach << bits), round(radius * (1 << bits)), 1, -1, shift=bits)
    height, width = shape
    padded = np.zeros((height + 2 * side, width + 2 * side), dtype=np.uint16)
    for x, y in centers.tolist():
        left, top = x - reach + side, y - reach + side
        if 0 <= left <= width + side and 0 <= top <= height + side:
            padded[top : top + side, left : left + side] += disc
    return padded[side : side + height, side : side + width]


def _repeated_blend(alpha: float, most: int) -> Pixels:
    """Tabulate [n, level]: `level` after n blends with white of opacity `alpha`, each rounded to a level."""
    tables = np.empty((most + 1, 1, 256), dtype=np.uint8)
    tables[0, 0] = np.arange(256)
    white = np.full((1, 256), 255, dtype=np.uint8)
    for n in range(most):
        tables[n + 1] = cv2.addWeighted(white, alpha, tables[n], 1 - alpha, 0)
    return tables[:, 0]


class SunFlare(GridTransform):
    """Translucent discs along a line through the sun, and a bright core.

    Args:
        flare_roi: x0, y0, x1, y1 of the sun's possible places, as fractions of the image.
        num_flare_circles: smallest and largest number of discs.
        alpha: range of a disc's opacity.
        spacing: distance of possible disc centres along the line, in pixels.
        src_radius: radius of the core in pixels.
        src_color: RGB of the core; a disc is up to 50 levels darker in each channel.
        p: probability.
    """

    def __init__(
        self,
        flare_roi: tuple[float, float, float, float],
        num_flare_circles: tuple[int, int],
        alpha: Range,
        spacing: int,
        src_radius: int,
        src_color: tuple[int, int, int],
        p: float = 0.5,
    ):
        super().__init__(p=p)
        self.flare_roi = tuple(flare_roi)
        self.num_flare_circles = tuple(num_flare_circles)
        self.alpha = tuple(alpha)
        self.spacing = spacing
        self.src_radius = src_radius
        self.src_color = tuple(src_color)

    def draw(self, grid: PixelGrid, whole: Pixels) -> dict[str, Any]:
        """Draw the sun's place, the line's angle and the discs on it."""
        width, height = grid.image_size
        draw = self.py_random
        left, top, right, bottom = self.flare_roi
        angle = 2 * math.pi * draw.uniform(0, 1)
        x, y = int(width * draw.uniform(left, right)), int(height * draw.uniform(top, bottom))
        steps = range(-x, width - x, self.spacing)
        discs = []
        for _ in range(draw.randint(*self.num_flare_circles)):
            along = draw.choice(steps)
            center = (int(x + along * math.cos(angle)), int(y + along * math.sin(angle)))
            radius = draw.randint(1, max(height // 100 - 2, 2)) ** 3
            color = tuple(draw.randint(max(level - 50, 0), level) for level in self.src_color)
            discs.append((draw.uniform(*self.alpha), center, radius, color))
        return {"sun": (x, y), "discs": discs}

    def apply(self, img: Pixels, sun: Point, discs: list[Disc], grid: PixelGrid, **params: Any) -> Pixels:
        """Draw on [H, W, 3]; each disc is blended over an overlay that keeps the discs before it."""
        overlay, output = img.copy(), img.copy()
        for alpha, center, radius, color in discs:
            _fill_circle(overlay, center, radius, color, grid)
            cv2.addWeighted(overlay, alpha, output, 1 - alpha, 0, output)
        overlay = output.copy()
        steps = self.src_radius // 10
        radii = np.linspace(1, self.src_radius, steps)
        alphas = np.linspace(1, 0, steps) ** 3
        for radius, alpha in zip(radii, alphas, strict=True):
            _fill_circle(overlay, sun, int(radius), self.src_color, grid)
            cv2.addWeighted(overlay, alpha, output, 1 - alpha, 0, output)
        return output


def _fill_circle(img: Pixels, center: Point, radius: int, color: tuple[int, ...], grid: PixelGrid) -> None:
    """Fill a circle that is given in image pixels."""
    bits = 0 if grid.is_native else FRACTION_BITS
    x, y = np.rint(grid.points(np.array(center, dtype=np.float64)) * (1 << bits)).astype(int).tolist()
    cv2.circle(img, (x, y), round(radius / grid.pixel_size * (1 << bits)), color, -1, shift=bits)
