"""Skeletons on pictures."""

import cv2

from lynx_pose.arrays import Floats, Mask, Pixels
from lynx_pose.data.skeleton import Skeleton

LEFT, RIGHT, MIDDLE = (255, 170, 40), (60, 190, 255), (120, 255, 120)


def draw_pose(image: Pixels, keypoints: Floats, shown: Mask, skeleton: Skeleton) -> Pixels:
    """Draw limbs and points on a copy of an image: left orange, right blue, the middle green.

    Args:
        image: [H, W, 3] RGB.
        keypoints: [K, 2] in its pixels.
        shown: [K] bool.
        skeleton: names the limbs and the sides.
    """
    picture = image.copy()
    size = max(1, round(max(image.shape[:2]) / 160))
    points = [(round(float(x)), round(float(y))) for x, y in keypoints]
    colors = point_colors(skeleton)
    for start, end in skeleton.limbs:
        if shown[start] and shown[end]:
            cv2.line(picture, points[start], points[end], colors[end], size, cv2.LINE_AA)
    for point, color, visible in zip(points, colors, shown, strict=True):
        if visible:
            cv2.circle(picture, point, 2 * size, color, -1, cv2.LINE_AA)
            cv2.circle(picture, point, 2 * size, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def point_colors(skeleton: Skeleton) -> list[tuple[int, int, int]]:
    """Return each keypoint's colour, RGB: left orange, right blue, the middle green."""
    colors = [MIDDLE] * len(skeleton)
    for left, right in skeleton.pairs:
        colors[left], colors[right] = LEFT, RIGHT
    return colors
