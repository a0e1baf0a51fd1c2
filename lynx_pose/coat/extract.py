"""The work of `python -m lynx_pose.coat`: poses, then the coats that they show."""

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from omegaconf import DictConfig

from lynx_pose.arrays import Pixels
from lynx_pose.coat.patches import PARTS, cut_part, map_coat, require_lynx, required_keypoints, visible_flank
from lynx_pose.data.image import read_image
from lynx_pose.errors import InputError
from lynx_pose.files import atomic_path, atomic_write
from lynx_pose.prediction.media import Media, is_video
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses
from lynx_pose.prediction.predictor import load_estimator, predict_images

log = logging.getLogger(__name__)
# As wildlife-datasets calls them (https://github.com/WildlifeDatasets/wildlife-datasets), then our own.
COLUMNS = ("image_id", "identity", "path", "orientation", "bbox", "part", "image", "score")


def cut_coats(cfg: DictConfig) -> Path:
    """Predict as configured, and write the coat of each animal whose pose is confident.

    Returns:
        coats.csv, with a row a patch: whose it is where the boxes' file says (`individualID`), where the patch lies,
        which flank it shows, and the animal's box in which image.

    Raises:
        InputError: as `predict_images`, or the network finds other keypoints than a lynx's.
    """
    estimator = load_estimator(cfg)
    require_lynx(estimator.skeleton)
    predicted = predict_images(cfg, estimator)
    folder = predicted.poses.folder
    outcome: Counter[str] = Counter()
    with atomic_write(folder / "coats.csv") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for poses in predicted.poses:
            if poses.is_read and not is_video(poses.name):
                writer.writerows(_coats(poses, predicted.media, folder, cfg.coat_min_confidence, outcome))
    log.info(", ".join(f"{count} {what}" for what, count in outcome.most_common()) or "no animals")
    log.info("%s", folder / "coats.csv")
    return folder / "coats.csv"


def _coats(
    poses: ImagePoses, media: Media, folder: Path, min_confidence: float, outcome: Counter[str]
) -> Iterator[list[object]]:
    """Write the patches of the animals in an image, and yield a row for each."""
    flanks = [_flank(animal, min_confidence, outcome) for animal in poses.frames[0]]
    if not any(flanks):
        return
    image = read_image(media.path(poses.name))
    for index, (animal, side) in enumerate(zip(poses.frames[0], flanks, strict=True)):
        if side is None:
            continue
        for part, pixels in patches(image, animal, side):
            path = folder / f"coats/{poses.name}-{index}-{part}.png"
            with atomic_path(path) as draft:
                if not cv2.imwrite(str(draft), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA)):
                    raise InputError(f"{path}: the patch cannot be written")
            names = [f"{poses.name}-{index}-{part}", animal.ids.get("individualID", ""), path.relative_to(folder)]
            yield [*names, side, animal.box, part, poses.name, f"{animal.score:.4f}"]


def _flank(animal: AnimalPose, min_confidence: float, outcome: Counter[str]) -> str | None:
    """Say which flank is seen, where it is one and the pose is confident; count what became of the animal."""
    points = np.array(animal.keypoints)
    side = visible_flank(points[:, :2], animal.box)
    if side is None:
        outcome["animals from the front or behind"] += 1
        return None
    if (points[required_keypoints(side), 2] < min_confidence).any():
        outcome["animals with an uncertain pose"] += 1
        return None
    outcome[f"{side} flanks"] += 1
    return side


def patches(image: Pixels, animal: AnimalPose, side: str) -> Iterable[tuple[str, Pixels]]:
    """Yield the whole `coat` of an animal's side on the canonical lynx, and its parts, [h, w, 4] each."""
    coat = map_coat(image, np.array(animal.keypoints)[:, :2], side)
    yield "coat", coat
    for part in PARTS:
        yield part, cut_part(coat, part)
