"""The cat's body: a tree of bones with joint ranges, the flesh around them, and the 20 keypoints on it.

A hierarchical parametric skeleton in the manner of animal pose synthesis: each bone has a rest direction, and
a pose turns each joint within its range. Metres; x forward, y to the animal's left, z up.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Degrees = tuple[float, float]


@dataclass(frozen=True)
class Bone:
    """A bone from its parent's end (or from an offset there) along a direction that its joint turns.

    Args:
        parent: name of the parent bone; None for the root.
        vector: from start to end at rest, metres.
        offset: from the parent's end to this bone's start, in the parent's frame.
        pitch: range of the turn about the sideways axis, degrees; positive lowers a forward bone.
        yaw: range of the turn about the upward axis, degrees; positive turns to the left.
    """

    parent: str | None
    vector: tuple[float, float, float]
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pitch: Degrees = (0.0, 0.0)
    yaw: Degrees = (0.0, 0.0)


def _legs(side: str, sign: float) -> dict[str, Bone]:
    return {
        f"{side}_shoulder": Bone("chest", (-0.03, 0.03 * sign, -0.10), (-0.04, 0.06 * sign, -0.02)),
        f"{side}_upper_arm": Bone(f"{side}_shoulder", (-0.02, 0.02 * sign, -0.16), pitch=(-32, 34), yaw=(-6, 6)),
        f"{side}_forearm": Bone(f"{side}_upper_arm", (0.03, 0.0, -0.20), pitch=(-38, 4)),
        f"{side}_forepaw": Bone(f"{side}_forearm", (0.035, 0.0, -0.115), pitch=(-12, 28)),
        f"{side}_hip": Bone(None, (0.04, 0.05 * sign, -0.05), (0.0, 0.03 * sign, -0.02)),
        f"{side}_thigh": Bone(f"{side}_hip", (0.09, 0.03 * sign, -0.19), pitch=(-26, 34), yaw=(-6, 6)),
        f"{side}_shank": Bone(f"{side}_thigh", (-0.14, 0.0, -0.17), pitch=(-8, 28)),
        f"{side}_hindpaw": Bone(f"{side}_shank", (0.05, 0.0, -0.17), pitch=(-24, 10)),
    }


BONES: dict[str, Bone] = {
    "loin": Bone(None, (0.30, 0.0, -0.01), pitch=(-9, 9), yaw=(-14, 14)),
    "chest": Bone("loin", (0.28, 0.0, 0.0), pitch=(-6, 9), yaw=(-12, 12)),
    "neck": Bone("chest", (0.15, 0.0, 0.09), (0.01, 0.0, 0.03), pitch=(-26, 42), yaw=(-38, 38)),
    "head": Bone("neck", (0.085, 0.0, 0.0), (0.0, 0.0, 0.01), pitch=(-22, 24), yaw=(-42, 42)),
    "tail": Bone(None, (-0.10, 0.0, -0.09), (-0.09, 0.0, 0.03), pitch=(-45, 30), yaw=(-30, 30)),
    **_legs("left", 1.0),
    **_legs("right", -1.0),
}


@dataclass(frozen=True)
class Flesh:
    """A cone with round ends around part of a bone.

    Args:
        bone: whose frame the ends are given in, from the bone's start.
        start: of the axis, metres.
        end: of the axis, metres.
        radii: at start and end, metres.
    """

    bone: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radii: tuple[float, float]


def _along(name: str, radii: tuple[float, float]) -> Flesh:
    return Flesh(name, (0.0, 0.0, 0.0), BONES[name].vector, radii)


def _leg_flesh(side: str, sign: float) -> tuple[Flesh, ...]:
    return (
        _along(f"{side}_shoulder", (0.085, 0.07)),
        _along(f"{side}_upper_arm", (0.068, 0.047)),
        _along(f"{side}_forearm", (0.046, 0.036)),
        _along(f"{side}_forepaw", (0.036, 0.036)),
        Flesh(f"{side}_forepaw", (0.03, 0.0, -0.11), (0.075, 0.0, -0.12), (0.038, 0.032)),
        _along(f"{side}_hip", (0.10, 0.105)),
        _along(f"{side}_thigh", (0.105, 0.058)),
        _along(f"{side}_shank", (0.056, 0.034)),
        _along(f"{side}_hindpaw", (0.034, 0.033)),
        Flesh(f"{side}_hindpaw", (0.045, 0.0, -0.165), (0.10, 0.0, -0.175), (0.037, 0.032)),
        Flesh("head", (0.01, 0.05 * sign, -0.045), (0.0, 0.078 * sign, -0.085), (0.050, 0.028)),
        Flesh("head", (-0.005, 0.048 * sign, 0.055), (-0.02, 0.072 * sign, 0.135), (0.030, 0.006)),
    )


FLESH: tuple[Flesh, ...] = (
    Flesh("loin", (-0.02, 0.0, -0.06), (0.16, 0.0, -0.055), (0.115, 0.110)),
    Flesh("loin", (0.14, 0.0, -0.06), (0.34, 0.0, -0.07), (0.110, 0.130)),
    Flesh("chest", (0.02, 0.0, -0.075), (0.24, 0.0, -0.075), (0.130, 0.128)),
    Flesh("chest", (0.20, 0.0, -0.06), (0.31, 0.0, -0.03), (0.125, 0.095)),
    _along("neck", (0.098, 0.080)),
    Flesh("head", (-0.01, 0.0, 0.0), (0.045, 0.0, 0.0), (0.098, 0.088)),
    Flesh("head", (0.05, 0.0, -0.022), (0.108, 0.0, -0.034), (0.058, 0.040)),
    _along("tail", (0.040, 0.036)),
    *_leg_flesh("left", 1.0),
    *_leg_flesh("right", -1.0),
)

# Keypoints in Animal-Pose order: bone, and the point in its frame from the bone's start.
KEYPOINTS: tuple[tuple[str, tuple[float, float, float]], ...] = (
    ("head", (0.068, 0.040, 0.028)), ("head", (0.068, -0.040, 0.028)),
    ("head", (0.0, 0.062, 0.060)), ("head", (0.0, -0.062, 0.060)),
    ("head", (0.142, 0.0, -0.020)), ("neck", (0.10, 0.0, -0.085)),
    ("loin", (-0.10, 0.0, 0.035)), ("chest", (0.24, 0.0, 0.045)),
    ("left_upper_arm", (-0.02, 0.045, -0.16)), ("right_upper_arm", (-0.02, -0.045, -0.16)),
    ("left_thigh", (0.11, 0.06, -0.19)), ("right_thigh", (0.11, -0.06, -0.19)),
    ("left_forearm", (0.03, 0.015, -0.20)), ("right_forearm", (0.03, -0.015, -0.20)),
    ("left_shank", (-0.15, 0.015, -0.17)), ("right_shank", (-0.15, -0.015, -0.17)),
    ("left_forepaw", (0.09, 0.0, -0.13)), ("right_forepaw", (0.09, 0.0, -0.13)),
    ("left_hindpaw", (0.115, 0.0, -0.185)), ("right_hindpaw", (0.115, 0.0, -0.185)),
)  # fmt: skip  # pairs as they belong together, a row each


@dataclass(frozen=True, eq=False)
class PosedBody:
    """Where each bone is, standing on the plane z = 0.

    Attributes:
        starts: [3] of each bone.
        turns: rotation [3, 3] of its frame.
        factors: of its length, and of what lies along it.
    """

    starts: dict[str, Vector]
    turns: dict[str, Vector]
    factors: dict[str, float]

    def place(self, bone: str, point: Vector | tuple[float, float, float]) -> Vector:
        """Return where a point of a bone's frame is."""
        return self.starts[bone] + self.turns[bone] @ (self.factors[bone] * np.asarray(point, dtype=np.float64))

    @property
    def keypoints(self) -> Vector:
        """[20, 3] in Animal-Pose order."""
        return np.array([self.place(bone, point) for bone, point in KEYPOINTS])


def draw_proportions(rng: np.random.Generator, spread: float) -> dict[str, float]:
    """Draw a factor for the length of each bone, in 1 ± spread; left and right are alike."""
    bones = list(dict.fromkeys(_without_side(name) for name in BONES))
    drawn = dict(zip(bones, rng.uniform(1 - spread, 1 + spread, len(bones)), strict=True))
    return {name: float(drawn[_without_side(name)]) for name in BONES}


def _without_side(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


def sample_pose(
    rng: np.random.Generator, liveliness: float = 1.0, proportions: Mapping[str, float] | None = None
) -> PosedBody:
    """Turn each joint within its range, most often near the middle, and stand the cat on its feet.

    Args:
        rng: what is drawn comes from it alone.
        liveliness: share of the joint ranges that is used; 0 is the rest pose.
        proportions: factor of each bone's length; None leaves them.
    """
    factors = dict(proportions or dict.fromkeys(BONES, 1.0))
    starts: dict[str, Vector] = {}
    turns: dict[str, Vector] = {}
    ends: dict[str, Vector] = {}
    for name, bone in BONES.items():
        origin = ends[bone.parent] if bone.parent else np.zeros(3)
        frame = turns[bone.parent] if bone.parent else np.eye(3)
        pitch, yaw = (_angle(rng, limits) * liveliness for limits in (bone.pitch, bone.yaw))
        starts[name] = origin + frame @ np.asarray(bone.offset)
        turns[name] = frame @ _turn(pitch, yaw)
        ends[name] = starts[name] + turns[name] @ (factors[name] * np.asarray(bone.vector))
    body = PosedBody(starts, turns, factors)
    ground = body.keypoints[:, 2].min() - 0.01
    return PosedBody({name: start - [0.0, 0.0, ground] for name, start in starts.items()}, turns, factors)


def _angle(rng: np.random.Generator, limits: Degrees) -> float:
    low, high = limits
    return low + (high - low) * rng.beta(1.6, 1.6)


def _turn(pitch: float, yaw: float) -> Vector:
    p, y = np.deg2rad(pitch), np.deg2rad(yaw)
    about_side = np.array([[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]])
    about_up = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    return about_up @ about_side


REST = sample_pose(np.random.default_rng(0), liveliness=0.0)
