"""How often the same individual is found again: by its coat on a canonical lynx, and by its whole box.

On drawn images of 18 drawn individuals that the run's network has not seen; it proves nothing about real lynxes.

    python benchmarks/coat_matching.py <run folder>
"""

import argparse
from pathlib import Path

import cv2
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lynx_pose.coat.matching import find_features, top1_accuracy
from lynx_pose.coat.patches import SIZE, Pixels, map_coat, required_keypoints, visible_flank
from lynx_pose.config import CONF
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.image import read_image
from lynx_pose.prediction.estimator import PoseEstimator, load
from lynx_pose.training.build import read_annotations

IMAGES = 400
# Other images and other individuals than those of training, whose seed is 0.
DRAWING_SEED = 1
# Pixels of the canonical lynx that a spot may lie beside its place.
WITHIN = 20.0
SURE = 0.5


def main() -> None:
    """Print top-1 for both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run on drawn images")
    estimator = load(parser.parse_args().run)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [f"data.images={IMAGES}", f"data.drawing_seed={DRAWING_SEED}"]
        records = read_annotations(compose("train", overrides=overrides)).records
    known = [record for record in records if record.identity]
    found = [pair for record in track(known, "looking for coats") if (pair := pictures(estimator, record))]
    names = [record.identity or "" for record, *_ in found]
    sides = [side for _, side, *_ in found]
    coats = [find_features(coat) for _, _, coat, _ in found]
    boxes = [find_features(box) for _, _, _, box in found]
    table = Table("what is matched", "top-1", "animals")
    table.add_row("whole box", *shown(top1_accuracy(boxes, names, sides)))
    table.add_row("coat", *shown(top1_accuracy(coats, names, sides)))
    table.add_row(
        f"coat, spots within {WITHIN:.0f} pixels of their place", *shown(top1_accuracy(coats, names, sides, WITHIN))
    )
    Console().print(table)


def pictures(estimator: PoseEstimator, record: PoseRecord) -> tuple[PoseRecord, str, Pixels, Pixels] | None:
    """Return an animal's flank, its coat and its box at a coat's width; None where its pose is not sure."""
    image = read_image(record.image_path)
    poses = estimator.predict(image, [record.box])
    side = visible_flank(poses.keypoints[0], record.box.tolist())
    if side is None or (poses.confidences[0, required_keypoints(side)] < SURE).any():
        return None
    x, y, width, height = (int(value) for value in record.box)
    box = image[max(0, y) : y + height, max(0, x) : x + width]
    wide = cv2.resize(box, (SIZE[0], round(SIZE[0] * height / width)), interpolation=cv2.INTER_CUBIC)
    return record, side, map_coat(image, poses.keypoints[0], side), wide


def shown(result: tuple[float, int]) -> tuple[str, str]:
    """Lay a share and its count out."""
    return f"{result[0]:.3f}", str(result[1])


if __name__ == "__main__":
    main()
