"""Skeletons on pictures."""

import re

import numpy as np
import pytest

from lynx_pose.data.skeleton import Skeleton
from lynx_pose.visualization.draw import LEFT, RIGHT, draw_pose
from lynx_pose.visualization.svg import pose_svg


@pytest.mark.parametrize("pair", [(0, 1), (1, 0)])
def test_left_and_right_in_one_place_are_both_seen(pair):
    """Whichever comes first in the skeleton."""
    skeleton = Skeleton(("a", "b", "nose"), (pair,), ((2, 0), (2, 1)), (), ())
    points = np.array([[100.0, 60.0], [100.0, 60.0], [30.0, 20.0]])
    picture = draw_pose(np.zeros((160, 320, 3), np.uint8), points, np.ones(3, bool), skeleton)
    for colour in (LEFT, RIGHT):
        seen = (np.abs(picture.astype(int) - colour) < 40).all(axis=-1)
        assert seen[50:70, 90:110].sum() > 5
        # Half-way along the limb as well.
        assert seen[30:50, 55:75].sum() > 10
    svg = pose_svg(points, None, np.ones(3, bool), skeleton, (320, 160))
    radii = [float(radius) for radius in re.findall(r' r="([\d.]+)"', svg)]
    assert radii[0] > radii[1]


def test_what_is_not_shown_is_not_drawn():
    skeleton = Skeleton(("a", "b"), (), ((0, 1),), (), ())
    black = np.zeros((50, 50, 3), np.uint8)
    points = np.array([[10.0, 10.0], [40.0, 40.0]])
    assert not draw_pose(black, points, np.zeros(2, bool), skeleton).any()
    assert not draw_pose(black, points, np.array([True, False]), skeleton)[20:].any()
