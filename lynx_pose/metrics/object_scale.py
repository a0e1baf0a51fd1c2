"""How large an animal is, as OKS sees it: the square of the scale s, in square pixels."""

from collections.abc import Sequence

import cv2
import numpy as np

from lynx_pose.arrays import Floats
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.errors import InputError


def annotated_area(records: Sequence[PoseRecord]) -> Floats:
    """Return [N] areas as the dataset gives them, and the box's where it gives none."""
    return np.array([record.area for record in records])


def box_area(records: Sequence[PoseRecord]) -> Floats:
    """Return [N] areas of the boxes."""
    return np.array([record.box[2] * record.box[3] for record in records])


def polygon_area(records: Sequence[PoseRecord]) -> Floats:
    """Return [N] areas inside the outlines.

    Raises:
        InputError: a record has no outline.
    """
    for record in records:
        if len(record.polygon) < 6:
            raise InputError(
                f"{record.source}: has no polygon to take the scale from; use object_scale=box or annotated"
            )
    outlines = [np.array(record.polygon, dtype=np.float32).reshape(-1, 2) for record in records]
    return np.array([cv2.contourArea(outline) for outline in outlines], dtype=np.float64)
