"""Skeletons as SVG, to lie over an image on a page: a keypoint tells its name and confidence."""

from html import escape

import numpy as np

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.visualization.draw import point_colors


def pose_svg(
    keypoints: Floats,
    scores: Floats | None,
    shown: Mask,
    skeleton: Skeleton,
    size: tuple[int, int],
) -> str:
    """Draw limbs and points; left first and wider, so that both are seen where they lie in one place.

    Args:
        keypoints: [K, 2] in pixels of a picture.
        scores: [K] confidences; None for annotations.
        shown: [K] bool.
        skeleton: names the points and the limbs.
        size: (width, height) of the picture.
    """
    colors = ["#{:02x}{:02x}{:02x}".format(*color) for color in point_colors(skeleton)]
    parts = [f'<svg viewBox="0 0 {size[0]} {size[1]}" xmlns="http://www.w3.org/2000/svg">']
    lefts = {left for left, _ in skeleton.pairs}
    for start, end in sorted(skeleton.limbs, key=lambda limb: limb[1] not in lefts):
        if shown[start] and shown[end]:
            (x1, y1), (x2, y2) = keypoints[start], keypoints[end]
            parts.append(
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colors[end]}" '
                f'stroke-width="{3.2 if end in lefts else 1.6}"/>'
            )
    for number in sorted(np.flatnonzero(shown), key=lambda number: number not in lefts):
        x, y = keypoints[number]
        text = skeleton.names[number] + (f": {scores[number]:.2f}" if scores is not None else "")
        # A point is drawn fainter the less sure it is; the thesis prints the numbers.
        opacity = 1.0 if scores is None else float(np.clip(scores[number], 0.25, 1))
        radius = 4.8 if number in lefts else 3.2
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colors[number]}" fill-opacity="{opacity:.2f}" '
            f'stroke="#000" stroke-width="0.6"><title>{escape(text)}</title></circle>'
        )
    return "".join([*parts, "</svg>"])
