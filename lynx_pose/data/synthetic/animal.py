"""Drawing a posed body: depth, coat and shading of every flesh cone, seen by a distant camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.synthetic.body import FLESH, REST, Flesh, PosedBody
from lynx_pose.data.synthetic.coat_pattern import Coat

Array = NDArray[np.float64]
FAR = 1e6


@dataclass(frozen=True, eq=False)
class Camera:
    """A distant camera: rotation [3, 3] from body to camera axes (right, down, away), scale and position.

    Args:
        turn: rows are the camera's axes in the body's frame.
        scale: pixels per metre.
        origin: [2] pixel of the body's frame origin on the ground.
    """

    turn: Array
    scale: float
    origin: Array

    def project(self, points: Array) -> Array:
        """Map body points [..., 3] to x, y and depth, all in pixels."""
        camera = points @ self.turn.T * self.scale
        camera[..., :2] += self.origin
        return camera


def place_camera(heading: float, elevation: float, scale: float, origin: Array) -> Camera:
    """Return the view of a body that heads to a compass direction of the picture.

    Args:
        heading: degrees; 0 faces right, 90 faces away, 180 left, 270 towards the camera.
        elevation: degrees by which the camera looks down.
        scale: pixels per metre.
        origin: [2] pixel of the body's frame origin on the ground.
    """
    h, e = np.deg2rad(heading), np.deg2rad(elevation)
    forward, left = np.array([np.cos(h), np.sin(h)]), np.array([-np.sin(h), np.cos(h)])
    right = np.array([forward[0], left[0], 0.0])
    level_away = np.array([forward[1], left[1], 0.0])
    up = np.array([0.0, 0.0, 1.0])
    down = -np.cos(e) * up - np.sin(e) * level_away
    away = np.cos(e) * level_away - np.sin(e) * up
    return Camera(np.array([right, down, away]), scale, origin)


@dataclass(frozen=True, eq=False)
class Layer:
    """A drawn animal.

    Args:
        color: [H, W, 3] RGB in 0–1.
        alpha: [H, W] coverage in 0–1.
        depth: [H, W] pixels away from the body's origin; FAR outside.
    """

    color: Array
    alpha: Array
    depth: Array


def draw_animal(
    body: PosedBody, coat: Coat, view: Camera, size: tuple[int, int], light: Array, rng: np.random.Generator
) -> Layer:
    """Draw a body.

    Args:
        body: posed.
        coat: of the individual.
        view: camera.
        size: (width, height) of the picture.
        light: [3] direction to the light in camera axes.
        rng: for the fur.
    """
    width, height = size
    layer = Layer(np.zeros((height, width, 3)), np.zeros((height, width)), np.full((height, width), FAR))
    centers = view.project(np.array([body.place(flesh.bone, flesh.end) for flesh in FLESH]))
    window = _window(centers[:, :2], 0.25 * view.scale + 8, (height, width))
    if window is None:
        return layer
    # All work is done in the rectangle around the animal.
    corner = np.array([window[1].start, window[0].start], dtype=np.float64)
    near = Camera(view.turn, view.scale, view.origin - corner)
    part = _draw_closely(body, coat, near, layer.alpha[window].shape, light, rng)
    layer.color[window], layer.alpha[window], layer.depth[window] = part.color, part.alpha, part.depth
    return layer


def _draw_closely(
    body: PosedBody, coat: Coat, view: Camera, shape: tuple[int, ...], light: Array, rng: np.random.Generator
) -> Layer:
    height, width = shape
    depth = np.full((height, width), FAR)
    rest = np.zeros((height, width, 3))
    for flesh in FLESH:
        _draw_flesh(flesh, body, view, depth, rest)
    covered = depth < FAR
    color = np.zeros((height, width, 3))
    if covered.any():
        color[covered] = _skin(rest[covered], coat)
        color *= _shading(depth, covered, view.scale, light)[..., None]
        color *= _fur((height, width), view.scale, rng)[..., None]
    _draw_face(color, depth, body, view)
    return _roughened(Layer(color, covered.astype(np.float64), depth), view.scale, rng)


def _draw_flesh(flesh: Flesh, body: PosedBody, view: Camera, depth: Array, rest: Array) -> None:
    """Draw one cone into the depth buffer, and note where its skin is on the resting body."""
    ends = view.project(np.array([body.place(flesh.bone, flesh.start), body.place(flesh.bone, flesh.end)]))
    radii = np.array(flesh.radii) * view.scale
    window = _window(ends[:, :2], radii.max(), depth.shape)
    if window is None:
        return
    rows, columns = np.mgrid[window]
    offset_x, offset_y = columns - ends[0, 0], rows - ends[0, 1]
    axis = ends[1] - ends[0]
    along = (offset_x * axis[0] + offset_y * axis[1]) / max(axis[0] ** 2 + axis[1] ** 2, 1e-9)
    along = np.clip(along, 0, 1)
    side = np.stack([offset_x - along * axis[0], offset_y - along * axis[1]], axis=-1)
    radius = radii[0] + along * (radii[1] - radii[0])
    bulge = radius**2 - (side**2).sum(axis=-1)
    toward = np.sqrt(np.maximum(bulge, 0))
    surface = ends[0, 2] + along * axis[2] - toward
    nearer = (bulge > 0) & (surface < depth[window])
    depth[window][nearer] = surface[nearer]
    outward = np.concatenate([side, -toward[..., None]], axis=-1)[nearer] / view.scale
    local = outward @ view.turn @ body.turns[flesh.bone]
    start, end = np.array(flesh.start), np.array(flesh.end)
    in_bone = start + along[nearer][:, None] * (end - start) + local
    rest[window][nearer] = REST.starts[flesh.bone] + in_bone @ REST.turns[flesh.bone].T


def _window(points: Array, margin: float, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Return the rows and columns around points, cut to the picture; None if outside."""
    low = np.floor(points.min(axis=0) - margin).astype(int)
    high = np.ceil(points.max(axis=0) + margin).astype(int) + 1
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, (shape[1], shape[0]))
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _skin(rest: Array, coat: Coat) -> Array:
    """Return the colour [N, 3] of skin at points [N, 3] of the resting body."""
    x, _, z = rest.T
    # Pale underneath and inside the legs; the back starts somewhat above the middle of the trunk.
    paleness = np.clip((0.52 - z) / 0.12, 0, 1) * np.where(z > 0.30, 1.0, 0.45)
    throat = np.clip(1 - np.hypot(x - 0.74, z - 0.64) / 0.08, 0, 1)
    muzzle = np.clip(1 - np.hypot(x - 0.88, z - 0.705) / 0.075, 0, 1)
    pale = np.clip(np.maximum(np.maximum(paleness, throat), 1.4 * muzzle), 0, 1)[:, None]
    color = (1 - pale) * coat.back + pale * coat.belly
    spots = coat.darkness(rest) * (1 - 0.75 * np.maximum(throat, muzzle))
    color *= 1 - 0.85 * spots[:, None]
    dark_tail = np.clip((-0.17 - x) / 0.03, 0, 1)
    dark_ears = np.clip((z - 0.855) / 0.02, 0, 1) * (x > 0.65)
    return color * (1 - 0.85 * np.maximum(dark_tail, dark_ears))[:, None]


def _shading(depth: Array, covered: NDArray[np.bool_], scale: float, light: Array) -> Array:
    """Return the brightness [H, W] of a soft body lit from one side, with some light from everywhere."""
    sigma = 0.014 * scale + 0.5
    weight = cv2.GaussianBlur(covered.astype(np.float64), (0, 0), sigma)
    smooth = cv2.GaussianBlur(np.where(covered, depth, 0.0), (0, 0), sigma) / np.maximum(weight, 1e-3)
    slope_y, slope_x = np.gradient(np.where(weight > 1e-3, smooth, 0.0))
    normal = np.stack([slope_x, slope_y, -np.ones_like(slope_x)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    lit = np.clip((normal * (light / np.linalg.norm(light))).sum(axis=-1), 0, 1)
    return 0.48 + 0.62 * lit


def _fur(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Array:
    """Return fine streaks [H, W] around 1."""
    noise = rng.standard_normal(shape)
    streaks = cv2.GaussianBlur(noise, (0, 0), 0.5 + scale / 300, sigmaY=0.5 + scale / 900)
    return 1 + 0.075 * streaks / streaks.std()


def _draw_face(color: Array, depth: Array, body: PosedBody, view: Camera) -> None:
    """Add eyes, nose and ear tufts where the head shows them."""
    dot = max(1, round(0.013 * view.scale))
    for point, radius, tone in (
        ((0.072, 0.040, 0.028), dot, (0.07, 0.06, 0.03)),
        ((0.072, -0.040, 0.028), dot, (0.07, 0.06, 0.03)),
        ((0.142, 0.0, -0.020), round(1.25 * dot), (0.20, 0.12, 0.11)),
    ):
        x, y, away = view.project(body.place("head", point))
        column, row = round(x), round(y)
        inside = 0 <= row < depth.shape[0] and 0 <= column < depth.shape[1]
        if inside and away < depth[row, column] + 0.02 * view.scale:
            cv2.circle(color, (column, row), radius, tone, -1, cv2.LINE_AA)
    for sign in (1.0, -1.0):
        tuft = view.project(np.array([body.place("head", (-0.02, 0.072 * sign, z)) for z in (0.125, 0.180)]))
        start, end = ((round(x), round(y)) for x, y in tuft[:, :2])
        cv2.line(color, start, end, (0.05, 0.05, 0.05), max(1, dot // 2), cv2.LINE_AA)
        column, row = end
        if 0 <= row < depth.shape[0] and 0 <= column < depth.shape[1]:
            line = np.zeros(depth.shape, np.uint8)
            cv2.line(line, start, end, 1, max(1, dot // 2))
            depth[(line > 0) & (depth == FAR)] = tuft[:, 2].mean()


def _roughened(layer: Layer, scale: float, rng: np.random.Generator) -> Layer:
    """Fray the outline: move pixels by a fine random field, then soften the edge."""
    height, width = layer.alpha.shape
    shift = [cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 1.2) for _ in range(2)]
    reach = 0.8 + 0.006 * scale
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    map_x, map_y = (
        (grid + reach * field).astype(np.float32) for grid, field in zip((columns, rows), shift, strict=True)
    )
    alpha = (layer.depth < FAR).astype(np.float32)
    # Colour is spread beyond the outline first, so that softened edges mix fur with scene and not with black.
    spread = cv2.blur(layer.color, (9, 9)) / np.maximum(cv2.blur(alpha, (9, 9)), 1e-3)[..., None]
    color = np.where(alpha[..., None] > 0, layer.color, spread)
    color = cv2.remap(color, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    frayed = cv2.remap(alpha, map_x, map_y, cv2.INTER_LINEAR)
    return Layer(np.clip(color, 0, 1), cv2.GaussianBlur(frayed, (0, 0), 0.7).astype(np.float64), layer.depth)
