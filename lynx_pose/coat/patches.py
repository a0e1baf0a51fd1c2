"""The coat of one flank on a canonical lynx: piecewise affine maps between triangles of keypoints."""

from collections.abc import Sequence

import cv2
import numpy as np

from lynx_pose.arrays import AnyArray, Floats, Mask, Pixels
from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.errors import InputError

# Of the canonical lynx, which heads left; a right flank is mirrored onto it.
SIZE = (448, 224)
POINTS = {
    "Throat": (16.0, 120.0),
    "Withers": (104.0, 24.0),
    "TailBase": (424.0, 36.0),
    "F_Elbow": (112.0, 200.0),
    "B_Elbow": (352.0, 204.0),
}
# A point so far on the way from one keypoint to another: on the belly's edge, and where the thigh meets the back.
BETWEEN = {
    "Chest": ("Withers", "F_Elbow", 0.65),
    "Belly": ("TailBase", "B_Elbow", 0.65),
    "Croup": ("Withers", "TailBase", 0.7),
}
PARTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "shoulder": (("Throat", "Withers", "F_Elbow"),),
    "flank": (("Withers", "TailBase", "Chest"), ("TailBase", "Belly", "Chest")),
    "thigh": (("Croup", "TailBase", "B_Elbow"),),
}

# Distance from throat to tail base across the image, in heights of the box, from which an animal is seen from
# its side rather than from the front or the back.
SIDEWAYS = 0.5


def visible_flank(keypoints: Floats, box: Sequence[float]) -> str | None:
    """Say which flank is seen of an animal on its feet: it heads where its flank's name says.

    Args:
        keypoints: [20, 2] in image pixels, in Animal-Pose's order.
        box: x, y, width, height in image pixels.

    Returns:
        `left` or `right`; None where the animal is seen from the front or from behind.
    """
    throat, tail = (keypoints[ANIMAL_POSE_20.names.index(name)] for name in ("Throat", "TailBase"))
    ahead = float(throat[0] - tail[0])
    if abs(ahead) < SIDEWAYS * box[3]:
        return None
    return "right" if ahead > 0 else "left"


def require_lynx(skeleton: Skeleton) -> None:
    """Refuse keypoints of which nobody has said where on the coat they lie.

    Raises:
        InputError: they are not the 20 of Animal-Pose and Lynx-Pose.
    """
    if skeleton.names != ANIMAL_POSE_20.names:
        raise InputError(
            f"run: was trained on {len(skeleton)} keypoints ({', '.join(skeleton.names[:3])}, …); the coat is "
            f"found from the {len(ANIMAL_POSE_20)} of Lynx-Pose ({', '.join(ANIMAL_POSE_20.names[:3])}, …)"
        )


def required_keypoints(side: str) -> list[int]:
    """Return the indices of the keypoints that the coat of a side, `left` or `right`, is found from."""
    names = [point if point in ANIMAL_POSE_20.names else f"{side[0].upper()}_{point}" for point in POINTS]
    return [ANIMAL_POSE_20.names.index(name) for name in names]


def map_coat(image: Pixels, keypoints: Floats, side: str) -> Pixels:
    """Map the coat of one side onto the canonical lynx.

    Args:
        image: [H, W, 3] RGB.
        keypoints: [20, 2] in its pixels, in Animal-Pose's order.
        side: `left` or `right`, the flank that is seen.

    Returns:
        [224, 448, 4] RGB and 255 where there is coat; the animal heads left, whichever side it shows.
    """
    source = _with_between(dict(zip(POINTS, keypoints[required_keypoints(side)], strict=True)))
    target = _with_between({name: np.array(place) for name, place in POINTS.items()})
    coat = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    for triangle in (triangle for part in PARTS.values() for triangle in part):
        ends = np.array([target[point] for point in triangle], np.float32)
        starts = np.array([source[point] for point in triangle], np.float32)
        matrix = cv2.getAffineTransform(ends, starts)
        warped = cv2.warpAffine(image, matrix, SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        mask = _mask(ends)
        coat[mask, :3] = warped[mask]
        coat[mask, 3] = 255
    return coat


def cut_part(coat: Pixels, part: str) -> Pixels:
    """Cut `shoulder`, `flank` or `thigh` out of what `map_coat` returned, as [h, w, 4]; transparent around it."""
    target = _with_between({name: np.array(place) for name, place in POINTS.items()})
    ends = [np.array([target[point] for point in triangle], np.float32) for triangle in PARTS[part]]
    mask = np.logical_or.reduce([_mask(triangle) for triangle in ends])
    left, top = np.floor(np.concatenate(ends).min(axis=0)).astype(int)
    right, bottom = np.ceil(np.concatenate(ends).max(axis=0)).astype(int) + 1
    cut = np.where(mask[..., None], coat, 0).astype(np.uint8)
    return cut[top:bottom, left:right]


def _with_between(points: dict[str, Floats]) -> dict[str, Floats]:
    return points | {
        name: points[start] + share * (points[end] - points[start]) for name, (start, end, share) in BETWEEN.items()
    }


def _mask(triangle: AnyArray) -> Mask:
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(np.asarray(triangle)).astype(np.int32), 255)
    return mask > 0
