"""Day, night or infrared: what light an image was taken in."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from lynx_pose.data.annotations import PoseRecord

# Infrared frames are grey but for the camera's strip of text, and compression.
GREY_BELOW = 3.0
# Of 255. A flash lights the animal and the ground before it, not the background in the upper half.
DARK_BELOW = 50.0


def light_of(records: Sequence[PoseRecord]) -> list[str]:
    """Name the light of each record's image, as the dataset does, or else as its pixels say.

    Without colour it is infrared, otherwise by its background night or day.
    """
    unknown = [record for record in records if record.light is None]
    with ThreadPoolExecutor() as pool:
        paths = [record.image_path for record in unknown]
        found = track(pool.map(measured_light, paths), "looking at images", total=len(unknown), disable=not unknown)
        measured = iter(list(found))
    return [record.light or next(measured) for record in records]


def measured_light(path: Path) -> str:
    """Name the light of an image by its pixels: infrared, `night or dusk`, day, or unreadable."""
    # An eighth of the size is enough, and decodes several times faster.
    small = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_8)
    if small is None:
        return "unreadable"
    colour = np.abs(np.diff(small.astype(np.int16), axis=2)).mean()
    if colour < GREY_BELOW:
        return "infrared"
    background = np.median(small[: len(small) // 2])
    return "night or dusk" if background < DARK_BELOW else "day"
