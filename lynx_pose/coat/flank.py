"""Which flank of an animal a photograph shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.errors import InputError

Floats = NDArray[np.float64]
# Distance from throat to tail base across the photograph, in heights of the box, from which an animal is seen from
# its side rather than from the front or the back.
SIDEWAYS = 0.5


def seen_flank(keypoints: Floats, box: Sequence[float]) -> str | None:
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
