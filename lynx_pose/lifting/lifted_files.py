"""What `predict lift=<run>` writes: a table and a page of poses in three dimensions."""

import csv
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lynx_pose.arrays import Floats
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.files import atomic_write, write_text
from lynx_pose.lifting.lifter import Lifter, node_indices
from lynx_pose.lifting.lifting_page import poses_page
from lynx_pose.lifting.skeleton3d import NODES
from lynx_pose.prediction.pose_log import ImagePoses
from lynx_pose.prediction.writers import as_text

log = logging.getLogger(__name__)
# On the page.
SHOWN = 12


class LiftedWriter:
    """Lifts poses, and writes them.

    Args:
        skeleton: of the poses.
        run: folder or checkpoint of the lifting network, or `embedded`.
        min_confidence: from which a keypoint counts as seen; the others are left out.

    Raises:
        InputError: there is no such network, or the poses are of other keypoints.
    """

    def __init__(self, skeleton: Skeleton, run: str, min_confidence: float):
        self.lifter = Lifter.load(run)
        self.nodes = node_indices(skeleton.names)
        self.min_confidence = min_confidence

    def write(self, poses: Iterable[ImagePoses], folder: Path) -> list[Path]:
        """Write poses3d.csv with a row a seen keypoint, and poses3d.html with the first animals, to turn."""
        paths = [folder / "poses3d.csv", folder / "poses3d.html"]
        shown: list[tuple[str, Floats]] = []
        animals = lifted_animals = 0
        with atomic_write(paths[0]) as file:
            writer = csv.writer(file)
            writer.writerow(["image", "frame", "animal", "keypoint", "x3d", "y3d", "z3d", "reprojection_error"])
            for name, frame, number, points, error in self._lift(poses):
                animals += 1
                if np.isnan(error):
                    continue
                lifted_animals += 1
                for node, place in zip(NODES, points, strict=True):
                    if not np.isnan(place).any():
                        cells = [f"{value:.2f}" for value in place]
                        writer.writerow([as_text(name), frame, number, node, *cells, f"{error:.3f}"])
                if len(shown) < SHOWN:
                    shown.append((f"{name}, animal {number}", points))
        write_text(paths[1], poses_page(shown))
        log.info("animals in three dimensions: %d of %d", lifted_animals, animals)
        return paths

    def _lift(self, poses: Iterable[ImagePoses]) -> Iterator[tuple[str, int | str, int, Floats, float]]:
        """Yield each animal's image, frame, number, points [16, 3] and reprojection error."""
        for found in poses:
            for frame, animals in enumerate(found.frames):
                if not animals:
                    continue
                keypoints = np.array([animal.keypoints for animal in animals])[:, self.nodes]
                lifted = self.lifter(keypoints[..., :2], keypoints[..., 2] >= self.min_confidence)
                for number, (points, error) in enumerate(zip(lifted.points, lifted.reprojection_error, strict=True)):
                    yield found.name, "" if found.fps is None else frame, number, points, float(error)
