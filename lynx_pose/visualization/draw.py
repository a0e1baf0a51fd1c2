"""Skeletons on pictures."""

import cv2
import numpy as np

from lynx_pose.arrays import Floats, Mask, Pixels
from lynx_pose.data.skeleton import Skeleton

LEFT, RIGHT, MIDDLE = (255, 170, 40), (60, 190, 255), (120, 255, 120)


def draw_pose(image: Pixels, keypoints: Floats, shown: Mask, skeleton: Skeleton) -> Pixels:
    """Draw limbs and points on a copy of an image: left orange, right blue, the middle green.

    Left comes first and is wider, so that both are seen where they lie in one place.

    Args:
        image: [H, W, 3] RGB.
        keypoints: [K, 2] in its pixels; whatever where not shown.
        shown: [K] bool.
        skeleton: names the limbs and the sides.
    """
    picture = image.copy()
    size = max(1, round(max(image.shape[:2]) / 160))
    points = [(round(float(x)), round(float(y))) for x, y in np.where(shown[:, None], keypoints, 0.0)]
    colors, lefts = point_colors(skeleton), {left for left, _ in skeleton.pairs}
    for start, end in sorted(skeleton.limbs, key=lambda limb: limb[1] not in lefts):
        if shown[start] and shown[end]:
            width = 2 * size if end in lefts else size
            cv2.line(picture, points[start], points[end], colors[end], width, cv2.LINE_AA)
    for number in sorted(range(len(points)), key=lambda number: number not in lefts):
        if shown[number]:
            radius = 3 * size if number in lefts else 2 * size
            cv2.circle(picture, points[number], radius, colors[number], -1, cv2.LINE_AA)
            cv2.circle(picture, points[number], radius, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def point_colors(skeleton: Skeleton) -> list[tuple[int, int, int]]:
    """Return each keypoint's colour, RGB: left orange, right blue, the middle green."""
    colors = [MIDDLE] * len(skeleton)
    for left, right in skeleton.pairs:
        colors[left], colors[right] = LEFT, RIGHT
    return colors
