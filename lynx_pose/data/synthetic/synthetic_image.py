"""One image of a camera trap: chooses scene, animal, pose and view, and knows the true pose."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.synthetic import scene
from lynx_pose.data.synthetic.animal import FAR, Camera, Layer, draw_animal, place_camera
from lynx_pose.data.synthetic.body import draw_proportions, sample_pose
from lynx_pose.data.synthetic.coat_pattern import Coat, make_coat

Picture = NDArray[np.float32]
INDIVIDUALS = 18
STRANGERS = 40
TRAPS = 40
SIZES = ((640, 480), (640, 480), (720, 540), (640, 360))
WEIGHTS = {"day": 0.36, "snow": 0.22, "dusk": 0.16, "infrared": 0.26}
PAWS = (16, 17, 18, 19)
EYES = (0, 1)
FACE = (0, 1, 2, 3)
WITHERS = 7
# Tells the random numbers of an individual's body from those of its coat.
BODIES = 1
# An animal of whose keypoints others leave fewer is no annotation, as nobody would mark it.
FEWEST_LABELLED = 4
# Camera and heading of an animal.
Stand = tuple[Camera, float]


@dataclass(frozen=True, eq=False)
class SyntheticAnimal:
    """The truth about one animal in an image.

    Args:
        name: of the individual; empty for a stranger.
        orientation: left, right, front or back, where the animal heads to.
        box: x, y, width, height in pixels.
        polygon: flat outline x, y, x, y, …
        keypoints: [20, 2] in pixels.
        points: [20, 3] in metres from the withers, in camera axes: x to the right, y down, z away.
        pixels_per_metre: of the image, where the animal is.
        labelled: [20] bool, the points that an annotator would mark.
        occluded: [20] bool, those that the animal itself, or what stands before it, hides.
    """

    name: str
    orientation: str
    box: list[float]
    polygon: list[float]
    keypoints: NDArray[np.float64]
    points: NDArray[np.float64]
    pixels_per_metre: float
    labelled: NDArray[np.bool_]
    occluded: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SyntheticImage:
    """One picture of a camera trap.

    Args:
        image: [H, W, 3] uint8 RGB.
        animals: in it.
        blurred: whether it is too blurred to annotate a pose.
        trap: number of the camera, which its stamp shows.
        light: day, night or dusk, or infrared.
    """

    image: NDArray[np.uint8]
    animals: tuple[SyntheticAnimal, ...]
    blurred: bool
    trap: int
    light: str


def render_image(
    seed: int, number: int, burst: int = 1, proportions: float = 0.0, animals: tuple[int, int] | None = None
) -> SyntheticImage:
    """Draw image `number` of the dataset `seed`; the same numbers give the same pixels.

    Args:
        seed: of the dataset.
        number: of the image.
        burst: images of one encounter, which show the same animals before the same background in other poses.
        proportions: by which share an individual's bones may be longer or shorter than others'.
        animals: fewest and most in an image; None has one, and two in 2 % of the images, as in the field.
    """
    encounter, frame = divmod(number, burst)
    of_encounter = rng = np.random.default_rng([seed, encounter])
    width, height = SIZES[rng.integers(len(SIZES))]
    condition = scene.CONDITIONS[str(rng.choice(list(WEIGHTS), p=list(WEIGHTS.values())))]
    horizon = int(height * rng.uniform(0.25, 0.5))
    picture = scene.draw_background((width, height), horizon, condition, rng)
    count = 2 if rng.random() < 0.02 else 1
    if animals:
        count = int(rng.integers(animals[0], animals[1] + 1))
    if burst > 1:
        rng = np.random.default_rng([seed, encounter, frame])
    # Those further away first, so that nearer ones stand before them.
    placed = [_place_camera(width, height, horizon, rng) for _ in range(count if animals else 0)]
    placed.sort(key=lambda stand: stand[0].scale)
    drawn: list[SyntheticAnimal] = []
    stands: Sequence[Stand | None] = placed or [None] * count
    for stand in stands:
        known, individual = _draw_individual(of_encounter)
        coat = make_coat(individual, seed)
        body = draw_proportions(np.random.default_rng([seed, individual, BODIES]), proportions) if proportions else None
        name = f"lynx-{individual + 1:02d}" if known else ""
        animal, picture, alpha = _place_animal(picture, horizon, condition, name, coat, body, stand, rng)
        drawn = [_covered(earlier, alpha) for earlier in drawn] if animals else drawn
        drawn.append(animal)
    drawn = [animal for animal in drawn if animal.labelled.sum() >= FEWEST_LABELLED] or drawn[-1:]
    x, y, box_width, box_height = drawn[0].box
    picture = scene.illuminate(picture, (x + box_width / 2, y + box_height / 2), condition, rng)
    if condition.snow and rng.random() < 0.5:
        scene.snowfall(picture, rng)
    blurred = bool(rng.random() < 0.07)
    if blurred:
        picture[:] = cv2.blur(picture, (int(rng.integers(19, 45)), 3))
    image = np.clip(picture * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        scene.stamp(image, _stamp_text(condition, encounter % TRAPS, rng))
    light = "infrared" if condition.infrared else "night or dusk" if condition.night else "day"
    return SyntheticImage(image, tuple(drawn), blurred, encounter % TRAPS, light)


def _draw_individual(rng: np.random.Generator) -> tuple[bool, int]:
    """Choose an animal: whether it is known by name, and its number."""
    known = bool(rng.random() < 0.82)
    return known, int(rng.integers(INDIVIDUALS) if known else INDIVIDUALS + rng.integers(STRANGERS))


def _place_animal(
    picture: Picture,
    horizon: int,
    condition: scene.Condition,
    name: str,
    coat: Coat,
    proportions: dict[str, float] | None,
    stand: Stand | None,
    rng: np.random.Generator,
) -> tuple[SyntheticAnimal, Picture, NDArray[np.float64]]:
    """Put one animal on the ground, with its shadow and with what hides parts of it; return also where it covers."""
    height, width = picture.shape[:2]
    body = sample_pose(rng, proportions=proportions)
    view, heading = stand or _place_camera(width, height, horizon, rng)
    light = np.array([rng.uniform(-0.8, 0.8), -0.9, -0.6])
    layer = draw_animal(body, coat, view, (width, height), light, rng)
    box, polygon = _outline(layer.alpha)
    scene.cast_shadow(picture, (box[0], box[0] + box[2]), view.origin[1], condition)
    alpha = layer.alpha[..., None]
    picture = (picture * (1 - alpha) + layer.color * (0.9 if condition.snow else 1.0) * alpha).astype(np.float32)
    if condition.infrared:
        _light_eyes(picture, body.keypoints, layer, view)
    keypoints = view.project(body.keypoints)
    before = picture.copy()
    _hide_parts(picture, box, view, condition, rng)
    labelled, occluded = _labelled(keypoints, layer, (before, picture), view, rng)
    points = body.keypoints @ view.turn.T
    points -= points[WITHERS]
    orientation = ("right", "back", "left", "front")[int(((heading + 45) % 360) // 90)]
    places = keypoints[:, :2]
    animal = SyntheticAnimal(name, orientation, box, polygon, places, points, view.scale, labelled, occluded)
    return animal, picture, layer.alpha


def _covered(animal: SyntheticAnimal, alpha: NDArray[np.float64]) -> SyntheticAnimal:
    """Return an animal before which another one has come: what that covers [H, W] nobody would label."""
    height, width = alpha.shape
    column, row = animal.keypoints.round().astype(int).T
    hidden = alpha[row.clip(0, height - 1), column.clip(0, width - 1)] > 0.5
    return replace(animal, labelled=animal.labelled & ~hidden)


def _place_camera(width: int, height: int, horizon: int, rng: np.random.Generator) -> Stand:
    """Choose heading, height of the camera, distance and place; the nearer, the lower in the picture."""
    side = 0.0 if rng.random() < 0.5 else 180.0
    heading = (side + rng.normal(0, 32)) % 360 if rng.random() < 0.85 else rng.uniform(0, 360)
    nearness = rng.beta(1.8, 1.6)
    scale = (0.22 + 0.62 * nearness) * height / 0.9
    ground = horizon + (0.30 + 0.62 * nearness) * (height - horizon)
    center = np.array([0.36 * np.cos(np.deg2rad(heading)) * scale, 0.0])
    place = np.array([width * rng.uniform(0.22, 0.78), min(ground, 0.97 * height)])
    return place_camera(heading, rng.uniform(3, 20), scale, place - center), heading


def _light_eyes(picture: Picture, keypoints: NDArray[np.float64], layer: Layer, view: Camera) -> None:
    """Make visible eyes reflect the camera's lamp, in place."""
    for x, y, away in view.project(keypoints[list(EYES)]):
        column, row = round(x), round(y)
        inside = 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]
        if inside and away < layer.depth[row, column] + 0.02 * view.scale:
            radius = max(1, round(0.016 * view.scale))
            cv2.circle(picture, (column, row), radius, (1.5, 1.5, 1.5), -1, cv2.LINE_AA)


def _hide_parts(
    picture: Picture, box: list[float], view: Camera, condition: scene.Condition, rng: np.random.Generator
) -> None:
    """Draw what is nearer than the animal: grass or snow at its feet, sometimes a stem before it, in place."""
    height = picture.shape[0]
    left, right, feet = box[0], box[0] + box[2], box[1] + box[3]
    if condition.snow:
        _bury_feet(picture, int(left), int(right), int(feet), view.scale * rng.uniform(0.0, 0.10), condition, rng)
    else:
        for _ in range(rng.integers(0, 6)):
            foot = (float(rng.uniform(left, right)), feet + rng.uniform(0.0, 0.06) * view.scale)
            length = view.scale * rng.uniform(0.06, 0.22)
            scene.draw_blades(picture, foot, length, int(rng.integers(8, 30)), condition, rng)
    if rng.random() < 0.14:
        x = rng.uniform(left, right)
        girth = view.scale * rng.uniform(0.015, 0.05)
        points = np.array([[x, height], [x + rng.normal(0, 0.1) * height, 0]])
        tone = (np.array(condition.trunk) * rng.uniform(0.6, 1.1)).tolist()
        cv2.polylines(picture, [np.round(points).astype(np.int32)], False, tone, max(2, round(2 * girth)), cv2.LINE_AA)


def _bury_feet(
    picture: Picture,
    left: int,
    right: int,
    feet: int,
    depth: float,
    condition: scene.Condition,
    rng: np.random.Generator,
) -> None:
    """Raise snow before the feet to an uneven line, in place."""
    height, width = picture.shape[:2]
    reach = int(0.15 * (right - left)) + 4
    low, high = max(0, left - reach), min(width, right + reach)
    line = feet - depth * (0.6 + 0.8 * scene.noise((1, high - low), (40, 1), rng, octaves=4)[0])
    rows = np.arange(height)[:, None]
    fade = np.clip((rows - line[None]) / 3, 0, 1) * np.clip((feet + depth + 8 - rows) / (depth + 8), 0, 1)
    # The drift thins out at both ends, and there is none where the snow is shallow.
    ends = np.minimum(np.arange(high - low), np.arange(high - low)[::-1]) / max(reach, 1)
    fade = fade * np.clip(ends, 0, 1) * min(1.0, depth / 6)
    snow = np.array(condition.ground) * (0.92 + 0.1 * scene.noise((height, high - low), (30, 16), rng)[..., None])
    window = picture[:, low:high]
    window += fade[..., None] * (snow - window)


def _labelled(
    keypoints: NDArray[np.float64],
    layer: Layer,
    before_and_after: tuple[Picture, Picture],
    view: Camera,
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Decide as an annotator would: nothing outside the picture, not always what is hidden, else everything.

    What changed between the pictures before and after hiding parts is hidden, and so is what the animal covers.

    Returns:
        [20] which points are labelled, and [20] which are hidden.
    """
    height, width = layer.alpha.shape
    before, after = before_and_after
    columns, rows = np.round(keypoints[:, :2]).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    labelled, occluded = inside.copy(), np.zeros_like(inside)
    for index in np.flatnonzero(inside):
        row, column = rows[index], columns[index]
        surface = layer.depth[row, column]
        behind = surface < FAR and keypoints[index, 2] > surface + 0.10 * view.scale
        # Eyes and ears behind the head cannot be guessed; a leg behind another mostly can.
        guess = 0.35 if index in FACE else 0.93
        if behind and rng.random() > guess:
            labelled[index] = False
        hidden = np.abs(after[row, column] - before[row, column]).max() > 0.04
        if hidden and rng.random() > (0.75 if index in PAWS else 0.6):
            labelled[index] = False
        occluded[index] = behind or hidden
    return labelled, occluded


def _outline(alpha: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Return box and polygon of the drawn animal; the polygon is its largest piece."""
    mask = (alpha > 0.5).astype(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    pieces, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(pieces, key=cv2.contourArea) if pieces else np.zeros((0, 1, 2))
    smooth = cv2.approxPolyDP(largest, 1.0, True) if len(largest) else largest
    return [float(x), float(y), float(width), float(height)], [float(value) for value in smooth.reshape(-1)]


def _stamp_text(condition: scene.Condition, trap: int, rng: np.random.Generator) -> str:
    hour = int(rng.integers(18, 30) % 24 if condition.night else rng.integers(8, 17))
    month = int(rng.choice((12, 1, 2, 3)) if condition.snow else rng.integers(4, 12))
    celsius = int(rng.integers(-9, 3) if condition.snow else rng.integers(4, 24))
    day, minute, second = (int(value) for value in rng.integers((1, 0, 0), (29, 60, 60)))
    return f"{day:02d}.{month:02d}.2021  {hour:02d}:{minute:02d}:{second:02d}  {celsius}C  TRAP {trap:02d}"
