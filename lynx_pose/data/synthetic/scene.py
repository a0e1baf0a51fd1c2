"""Camera-trap scenes: a forest by day, in snow, at dusk and in infrared light, and what stands before the cat."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Condition:
    """What the season and the hour look like; colours are RGB in 0–1.

    Args:
        sky: behind the trees.
        ground: litter, grass or snow.
        ground_dark: its darker patches.
        trunk: of the trees.
        brush: of grass and twigs.
        exposure: brightness of the image.
        tint: factor of each channel.
        night: a grainy image between evening and morning.
        infrared: grey, lit by the camera's own lamp.
        snow: the ground swallows paws, flakes fall.
    """

    sky: Color
    ground: Color
    ground_dark: Color
    trunk: Color
    brush: Color
    exposure: float
    tint: Color = (1.0, 1.0, 1.0)
    night: bool = False
    infrared: bool = False
    snow: bool = False


CONDITIONS: dict[str, Condition] = {
    "day": Condition(
        sky=(0.62, 0.68, 0.60),
        ground=(0.42, 0.36, 0.24),
        ground_dark=(0.22, 0.24, 0.13),
        trunk=(0.26, 0.21, 0.16),
        brush=(0.33, 0.40, 0.18),
        exposure=1.0,
    ),
    "snow": Condition(
        sky=(0.72, 0.76, 0.80),
        ground=(0.82, 0.85, 0.89),
        ground_dark=(0.64, 0.69, 0.76),
        trunk=(0.24, 0.21, 0.19),
        brush=(0.42, 0.36, 0.28),
        exposure=0.95,
        snow=True,
    ),
    "dusk": Condition(
        sky=(0.46, 0.48, 0.50),
        ground=(0.36, 0.33, 0.27),
        ground_dark=(0.19, 0.20, 0.17),
        trunk=(0.17, 0.16, 0.15),
        brush=(0.26, 0.29, 0.20),
        exposure=0.9,
        tint=(0.90, 0.97, 1.08),
        night=True,
    ),
    "infrared": Condition(
        sky=(0.10, 0.10, 0.10),
        ground=(0.46, 0.46, 0.46),
        ground_dark=(0.28, 0.28, 0.28),
        trunk=(0.40, 0.40, 0.40),
        brush=(0.60, 0.60, 0.60),
        exposure=0.85,
        night=True,
        infrared=True,
    ),
}


def noise(shape: tuple[int, int], cell: tuple[float, float], rng: np.random.Generator, octaves: int = 4) -> Array:
    """Return smooth noise [H, W] in 0–1, with features of (width, height) `cell` pixels and finer ones on them."""
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        rows = max(2, int(shape[0] * 2**octave / cell[1]))
        columns = max(2, int(shape[1] * 2**octave / cell[0]))
        coarse = rng.random((min(rows, shape[0]), min(columns, shape[1])), dtype=np.float32)
        total += cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR) / 2**octave
    return np.clip(total / np.float32(2 - 2.0 ** (1 - octaves)), 0, 1)


def draw_background(size: tuple[int, int], horizon: int, condition: Condition, rng: np.random.Generator) -> Array:
    """Draw a forest [H, W, 3] in 0–1: sky and far trees above the horizon's row, the ground below."""
    width, height = size
    scene = np.empty((height, width, 3), dtype=np.float32)
    haze = noise((height, width), (width / 2, height / 3), rng)[..., None]
    scene[:] = np.array(condition.sky) * (0.75 + 0.4 * haze)
    for distance in (0.25, 0.5, 0.8):
        _draw_foliage(scene, horizon, distance, condition, rng)
        _draw_trees(scene, horizon, distance, condition, rng)
    _draw_ground(scene, horizon, condition, rng)
    for _ in range(rng.integers(3, 9)):
        _draw_bush(scene, horizon, condition, rng)
    return np.clip(scene, 0, 1)


def _draw_foliage(scene: Array, horizon: int, distance: float, condition: Condition, rng: np.random.Generator) -> None:
    """Cover the upper part with leaves or needles, thinner with height."""
    width, rows = scene.shape[1], min(horizon + 12, scene.shape[0])
    upper = scene[:rows]
    leaves = noise((rows, width), (width / (6 + 20 * distance), width / (11 + 27 * distance)), rng, octaves=5)
    height = np.linspace(0, rows / scene.shape[0], rows, dtype=np.float32)[:, None]
    dense = 0.75 * np.clip((leaves - 0.62 + 0.22 * height) * 9, 0, 1)[..., None]
    brush = np.array(condition.brush, np.float32) * np.float32((1.1 - 0.3 * distance) * (0.5 + 0.5 * distance))
    sky = np.array(condition.sky, np.float32) * np.float32((1 - distance) * 0.5)
    upper += dense * (sky + brush * (0.35 + 0.5 * leaves[..., None]) - upper)


def _draw_trees(scene: Array, horizon: int, distance: float, condition: Condition, rng: np.random.Generator) -> None:
    """Draw trunks; nearer ones are wider, darker and stand lower."""
    height, width = scene.shape[:2]
    for _ in range(rng.integers(2, 7)):
        x, girth = rng.uniform(0, width), width * distance * rng.uniform(0.015, 0.05)
        foot = horizon + distance**2 * 0.25 * (height - horizon)
        _draw_trunk(scene, x, girth, foot, distance, condition, rng)


def _draw_trunk(
    scene: Array,
    x: float,
    girth: float,
    foot: float,
    nearness: float,
    condition: Condition,
    rng: np.random.Generator,
) -> None:
    height, width = scene.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    lean = rng.normal(0, 0.03) * height
    outline = np.array([[x - girth, foot], [x + girth, foot], [x + 0.7 * girth + lean, 0], [x - 0.7 * girth + lean, 0]])
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return
    across = np.clip((columns - x - lean * (1 - rows / max(foot, 1))) / max(girth, 1), -1, 1)
    left, right = columns.min(), columns.max() + 1
    bark = noise((height, right - left), (max(3.0, girth / 2), max(12.0, girth * 3)), rng, octaves=3)
    bark = bark[rows, columns - left]
    tone = np.array(condition.trunk) * ((0.6 + 0.8 * bark) * (0.85 + 0.35 * np.sqrt(1 - across**2)))[:, None]
    scene[rows, columns] = nearness * tone + (1 - nearness) * (0.55 * scene[rows, columns] + 0.45 * tone)


def _draw_ground(scene: Array, horizon: int, condition: Condition, rng: np.random.Generator) -> None:
    """Lay the ground: patches that grow towards the camera, with litter on them."""
    height, width = scene.shape[:2]
    rows = height - horizon
    far = noise((rows, width), (width / 10, rows / 14), rng, octaves=5)
    near = noise((rows, width), (width / 4, rows / 5), rng, octaves=6)
    blend = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    pattern = np.clip((((1 - blend) * far + blend * near) - 0.25) * 1.9, 0, 1)[..., None]
    dark = np.array(condition.ground_dark, np.float32)
    tone = dark + (np.array(condition.ground, np.float32) - dark) * pattern
    grain = rng.standard_normal((rows, width, 1), dtype=np.float32) * (0.012 if condition.snow else 0.035)
    wavy = (noise((1, width), (width / 5, 1), rng)[0] - 0.5) * 0.06 * height
    edge = np.clip((np.arange(rows, dtype=np.float32)[:, None] - wavy[None]) / 4, 0, 1)[..., None]
    scene[horizon:] += edge * (np.clip(tone + grain, 0, 1) - scene[horizon:])


def _draw_bush(scene: Array, horizon: int, condition: Condition, rng: np.random.Generator) -> None:
    """Draw grass or twigs that rise from one place on the ground."""
    height, width = scene.shape[:2]
    depth = rng.random() ** 1.5
    x, y = rng.uniform(0, width), horizon + depth * 0.75 * (height - horizon)
    draw_blades(scene, (x, y), (0.06 + 0.16 * depth) * height, int(rng.integers(12, 50)), condition, rng)


def draw_blades(
    scene: Array,
    foot: tuple[float, float],
    length: float,
    count: int,
    condition: Condition,
    rng: np.random.Generator,
) -> None:
    """Draw `count` curved blades from around a foot point, in place."""
    for _ in range(count):
        start = np.array(foot) + rng.normal(0, length * 0.35, 2) * (1.0, 0.12)
        reach = length * rng.uniform(0.4, 1.2)
        lean = rng.normal(0, 0.45) * reach
        steps = np.linspace(0, 1, 6)[:, None]
        points = start + steps * np.array([0.0, -reach]) + steps**2 * np.array([lean, 0.2 * abs(lean)])
        tone = np.array(condition.brush) * rng.uniform(0.5, 1.25)
        cv2.polylines(
            scene,
            [np.round(points).astype(np.int32)],
            False,
            tone.tolist(),
            int(rng.integers(1, 3)),
            cv2.LINE_AA,
        )


def cast_shadow(scene: Array, span: tuple[float, float], ground_row: float, condition: Condition) -> None:
    """Darken the ground between two columns, around the row of the animal's feet, in place."""
    half = max(1.0, (span[1] - span[0]) / 2)
    flat = np.zeros(scene.shape[:2], dtype=np.float32)
    center = (round((span[0] + span[1]) / 2), round(ground_row))
    cv2.ellipse(flat, center, (round(half), max(1, round(0.14 * half))), 0, 0, 360, 1.0, -1)
    shadow = cv2.GaussianBlur(flat, (0, 0), 0.07 * half + 1)
    scene *= (1 - (0.28 if condition.snow else 0.5) * shadow)[..., None]


def illuminate(scene: Array, focus: tuple[float, float], condition: Condition, rng: np.random.Generator) -> Array:
    """Expose the image: the lamp's spot in infrared light, dappled sun by day, tint, vignette and grain."""
    height, width = scene.shape[:2]
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(0, 1, width, dtype=np.float32)[None]
    if condition.infrared:
        spot = (columns - focus[0] / width) ** 2 + (rows - focus[1] / height) ** 2
        light = 0.22 + 1.05 * np.exp(-spot / rng.uniform(0.30, 0.5) ** 2)
        grey: Array = scene @ np.array([0.45, 0.40, 0.15], np.float32)
        scene = np.repeat(grey[..., None], 3, axis=2)
    else:
        light = 0.72 + 0.5 * noise((height, width), (width / 3, height / 3), rng)
    vignette = 1 - 0.45 * ((columns - 0.5) ** 2 + (rows - 0.5) ** 2)
    exposed = scene * (condition.exposure * light * vignette)[..., None] * np.array(condition.tint, np.float32)
    strength = 0.03 if condition.night else 0.012
    grain = rng.standard_normal((height, width, 1), dtype=np.float32)
    return np.clip(exposed + strength * grain, 0, 1).astype(np.float32)


def snowfall(scene: Array, rng: np.random.Generator) -> None:
    """Add falling flakes, in place."""
    height, width = scene.shape[:2]
    flakes = np.zeros((height, width), dtype=np.float32)
    for x, y, size in zip(
        rng.uniform(0, width, 90), rng.uniform(0, height, 90), rng.uniform(0.5, 2.6, 90), strict=True
    ):
        cv2.circle(flakes, (int(x), int(y)), max(1, int(size)), rng.uniform(0.3, 0.9), -1, cv2.LINE_AA)
    scene += cv2.GaussianBlur(flakes, (0, 0), 0.9)[..., None] * (0.97 - scene)


def stamp(picture: NDArray[np.uint8], text: str) -> None:
    """Write the camera's information strip along the lower edge, in place."""
    height = picture.shape[0]
    strip = max(14, height // 26)
    picture[height - strip :] = 8
    cv2.putText(
        picture,
        text,
        (6, height - strip // 4),
        cv2.FONT_HERSHEY_SIMPLEX,
        strip / 36,
        (235, 235, 235),
        1,
        cv2.LINE_AA,
    )
