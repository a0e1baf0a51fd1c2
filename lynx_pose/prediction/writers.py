"""Poses in the formats that others read: COCO, and a table."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lynx_pose.data.skeleton import Skeleton
from lynx_pose.evaluation.calibration import Calibration
from lynx_pose.evaluation.guarantee import Guarantee
from lynx_pose.files import atomic_write
from lynx_pose.formats.coco import annotation_entry, category_entry
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses


@dataclass(frozen=True)
class PoseWriter:
    """Writes what was found, one image at a time in memory.

    Args:
        folder: that the files are written to.
        skeleton: of the poses.
        min_confidence: from which a keypoint counts as seen; below, COCO files call it labelled, not visible.
        calibration: says what a confidence means in pixels, where it is known.
        guarantee: gives radii that hold, where they are asked for.
        group_of: names the group of an animal of an image or video, for the guarantee; None where it is unknown.
        abstain_above: share of the box's longer side; a larger radius is not given.
    """

    folder: Path
    skeleton: Skeleton
    min_confidence: float
    calibration: Calibration | None = None
    guarantee: Guarantee | None = None
    group_of: Callable[[ImagePoses, AnimalPose], str | None] = lambda found, animal: None
    abstain_above: float = 1.0

    def write(self, poses: Iterable[ImagePoses]) -> list[Path]:
        """Write all files anew; `poses` is gone through several times.

        Returns:
            poses.csv with a row an animal; coco.json, a dataset that annotation tools open for correction; and
            coco_results.json, for evaluation against annotations with the same image ids.
        """
        paths = [self.folder / name for name in ("poses.csv", "coco.json", "coco_results.json")]
        for path, write in zip(paths, (self._write_table, self._write_dataset, self._write_results), strict=True):
            with atomic_write(path) as file:
                write(poses, file)
        return paths

    def _write_table(self, poses: Iterable[ImagePoses], file: IO[str]) -> None:
        ids = sorted({name for found in poses for animals in found.frames for one in animals for name in one.ids})
        parts = ["x", "y", "confidence"]
        parts += ["error_px"] if self.calibration else []
        parts += ["radius_px"] if self.guarantee else []
        columns = [f"{name}_{part}" for name in self.skeleton.names for part in parts]
        writer = csv.writer(file)
        writer.writerow(["image", "frame", "track", *ids, "x", "y", "width", "height", "box_score", "score", *columns])
        for found in poses:
            for frame, animals in enumerate(found.frames):
                for animal in animals:
                    named = [animal.ids.get(name, "") for name in ids]
                    box = [f"{value:.2f}" for value in animal.box]
                    score = "" if animal.box_score is None else animal.box_score
                    number = "" if found.fps is None else frame
                    points = [cell for point in self._points(found, animal) for cell in point]
                    track = "" if animal.track is None else animal.track
                    cells = [number, track, *named, *box, score, f"{animal.score:.4f}", *points]
                    writer.writerow([as_text(found.name), *cells])

    def _points(self, found: ImagePoses, animal: AnimalPose) -> Iterator[list[str]]:
        """Yield each keypoint's cells, with its expected error and its radius in image pixels where they are known."""
        confidences = np.array([confidence for _, _, confidence in animal.keypoints])
        errors = self.calibration(confidences) * animal.crop_pixel if self.calibration else None
        radii = None
        if self.guarantee:
            radii = self.guarantee(confidences, self.group_of(found, animal)) * animal.crop_pixel
        largest = self.abstain_above * max(animal.box[2:])
        for index, (x, y, confidence) in enumerate(animal.keypoints):
            point = [f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}"]
            if errors is not None:
                point.append(f"{errors[index]:.2f}")
            if radii is not None:
                # So wide a circle says nothing of the place: the network abstains.
                point.append(f"{radii[index]:.2f}" if radii[index] <= largest else "")
            yield point

    def _write_dataset(self, poses: Iterable[ImagePoses], file: IO[str]) -> None:
        """Write a COCO keypoint dataset part by part."""
        file.write('{"info": {"description": "poses found by lynx_pose"}, "categories": ')
        json.dump([category_entry(self.skeleton)], file)
        file.write(', "images": ')
        write_list(file, ({"id": image_id} | image for image_id, image, _ in _images(poses)))
        file.write(', "annotations": ')
        write_list(file, self._annotations(poses))
        file.write("}\n")

    def _annotations(self, poses: Iterable[ImagePoses]) -> Iterator[dict[str, Any]]:
        number = 0
        for image_id, image, animals in _images(poses):
            for animal in animals:
                number += 1
                points = [self._labelled(point, image) for point in animal.keypoints]
                yield annotation_entry(number, image_id, animal.box, animal.box[2] * animal.box[3]) | {
                    "keypoints": [value for point in points for value in point],
                    "num_keypoints": sum(visibility > 0 for _, _, visibility in points),
                    "score": animal.score,
                    **({} if animal.track is None else {"track_id": animal.track}),
                    **animal.ids,
                }

    def _labelled(self, point: Sequence[float], image: Mapping[str, Any]) -> tuple[float, float, int]:
        """Return x, y and COCO's visibility: 2 for a seen keypoint, 1 for another one, 0 for one outside the image."""
        x, y, confidence = point
        if not (0 <= x <= image["width"] - 1 and 0 <= y <= image["height"] - 1):
            return 0, 0, 0
        return x, y, 2 if confidence >= self.min_confidence else 1

    def _write_results(self, poses: Iterable[ImagePoses], file: IO[str]) -> None:
        """Write COCO results, a pose a line."""
        write_list(
            file,
            (
                {
                    "image_id": image_id,
                    "category_id": 1,
                    "keypoints": [value for point in animal.keypoints for value in point],
                    "score": animal.score,
                }
                for image_id, _, animals in _images(poses)
                for animal in animals
            ),
        )


def _images(poses: Iterable[ImagePoses]) -> Iterator[tuple[int, dict[str, Any], list[AnimalPose]]]:
    """Number images and frames from 1; a frame is called as annotation tools call those of a video."""
    number = 0
    for found in poses:
        for frame, animals in enumerate(found.frames):
            number += 1
            name = found.name if found.fps is None else f"{found.name}/frame_{frame:06d}.jpg"
            yield number, {"file_name": name, "width": found.width, "height": found.height}, animals


def as_text(name: str) -> str:
    """Return a file's name so that a spreadsheet does not take it for a formula; it is still that file's."""
    return f"./{name}" if name.startswith(("=", "+", "-", "@")) else name


def write_list(file: IO[str], items: Iterable[Any]) -> None:
    """Write a JSON list, an item a line and one at a time."""
    file.write("[")
    for index, item in enumerate(items):
        file.write(",\n" if index else "\n")
        json.dump(item, file, ensure_ascii=False)
    file.write("]")
