"""The work of `python -m lynx_pose.coat`: poses, then the coats that they show."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from lynx_pose.coat.flank import require_lynx, seen_flank
from lynx_pose.coat.patches import PARTS, Pixels, coat_of, needed, part_of
from lynx_pose.data.image import read_image
from lynx_pose.errors import InputError
from lynx_pose.prediction.job import estimator_of, predict
from lynx_pose.prediction.media import Media, is_video
from lynx_pose.prediction.outputs import replaced
from lynx_pose.prediction.record import Animal, Found

log = logging.getLogger(__name__)
# As wildlife-datasets calls them (https://github.com/WildlifeDatasets/wildlife-datasets), then our own.
COLUMNS = ("image_id", "identity", "path", "orientation", "bbox", "part", "image", "score")


def cut_coats(cfg: DictConfig) -> Path:
    """Predict as configured, and write the coat of each animal whose pose is sure.

    Returns:
        coats.csv, with a row a patch: whose it is where the boxes' file says (`individualID`), where the patch lies,
        which flank it shows, and the animal's box in which photograph.

    Raises:
        InputError: as `predict`, or the network finds other keypoints than a lynx's.
    """
    estimator = estimator_of(cfg)
    require_lynx(estimator.skeleton)
    predicted = predict(cfg, estimator)
    folder = predicted.record.folder
    outcome: Counter[str] = Counter()
    with replaced(folder / "coats.csv") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for found in predicted.record:
            if found.is_read and not is_video(found.name):
                writer.writerows(_coats(found, predicted.media, folder, cfg.sure, outcome))
    log.info(", ".join(f"{count} {what}" for what, count in outcome.most_common()) or "no animals")
    log.info("%s", folder / "coats.csv")
    return folder / "coats.csv"


def _coats(found: Found, media: Media, folder: Path, sure: float, outcome: Counter[str]) -> Iterator[list[object]]:
    """Write the patches of the animals in a photograph, and yield a row for each."""
    flanks = {number: _sure_flank(animal, sure, outcome) for number, animal in enumerate(found.frames[0])}
    if not any(flanks.values()):
        return
    image = read_image(media.path(found.name))
    for number, animal in enumerate(found.frames[0]):
        side = flanks[number]
        if side is None:
            continue
        stem = f"coats/{found.name}-{number}"
        for part, pixels in patches(image, animal, side):
            path = folder / f"{stem}-{part}.png"
            _write(path, pixels)
            names = [f"{found.name}-{number}-{part}", animal.ids.get("individualID", ""), path.relative_to(folder)]
            yield [*names, side, animal.box, part, found.name, f"{animal.score:.4f}"]


def _sure_flank(animal: Animal, sure: float, outcome: Counter[str]) -> str | None:
    points = np.array(animal.keypoints)
    side = seen_flank(points[:, :2], animal.box)
    if side is None:
        outcome["animals from the front or behind"] += 1
        return None
    if (points[needed(side), 2] < sure).any():
        outcome["animals with an unsure pose"] += 1
        return None
    outcome[f"{side} flanks"] += 1
    return side


def patches(image: Pixels, animal: Animal, side: str) -> Iterable[tuple[str, Pixels]]:
    """Yield the whole `coat` of an animal's side on the canonical lynx, and its parts, [h, w, 4] each."""
    keypoints: NDArray[np.float64] = np.array(animal.keypoints)[:, :2]
    coat = coat_of(image, keypoints, side)
    yield "coat", coat
    for part in PARTS:
        yield part, part_of(coat, part)


def _write(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA)):
        raise InputError(f"{path}: the patch cannot be written")
