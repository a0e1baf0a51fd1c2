"""Poses in the formats that others read: COCO, and a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from lynx_pose.data.skeleton import Skeleton
from lynx_pose.prediction.calibration import Calibration
from lynx_pose.prediction.record import Animal, Found


@dataclass(frozen=True)
class Outputs:
    """Writes what was found, one photograph at a time in memory.

    Args:
        folder: that the files are written to.
        skeleton: of the poses.
        confident: confidence from which a keypoint counts as seen; below, COCO files call it labelled, not visible.
        calibration: says what a confidence means in pixels, where it is known.
    """

    folder: Path
    skeleton: Skeleton
    confident: float
    calibration: Calibration | None = None

    def write(self, record: Iterable[Found]) -> list[Path]:
        """Write all files anew; `record` is gone through several times.

        Returns:
            poses.csv with a row an animal; coco.json, a dataset that annotation tools open for correction; and
            coco_results.json, for evaluation against annotations with the same image ids.
        """
        paths = [self.folder / name for name in ("poses.csv", "coco.json", "coco_results.json")]
        with replaced(paths[0]) as file:
            self._table(record, file)
        with replaced(paths[1]) as file:
            self._coco(record, file)
        with replaced(paths[2]) as file:
            write_list(file, self._results(record))
        return paths

    def _table(self, record: Iterable[Found], file: TextIO) -> None:
        ids = sorted({name for found in record for animals in found.frames for one in animals for name in one.ids})
        parts = ("x", "y", "confidence", "error_px") if self.calibration else ("x", "y", "confidence")
        columns = [f"{name}_{part}" for name in self.skeleton.names for part in parts]
        writer = csv.writer(file)
        writer.writerow(["image", "frame", *ids, "x", "y", "width", "height", "box_score", "score", *columns])
        for found, frame, animal in _animals(record):
            named = [animal.ids.get(name, "") for name in ids]
            values = [f"{value:.2f}" for value in animal.box]
            score = "" if animal.box_score is None else animal.box_score
            number = "" if found.fps is None else frame
            points = [cell for point in self._points(animal) for cell in point]
            writer.writerow([found.name, number, *named, *values, score, f"{animal.score:.4f}", *points])

    def _points(self, animal: Animal) -> Iterator[list[str]]:
        errors = self._errors(animal)
        for number, (x, y, confidence) in enumerate(animal.keypoints):
            point = [f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}"]
            yield point if errors is None else [*point, f"{errors[number]:.2f}"]

    def _errors(self, animal: Animal) -> list[float] | None:
        """Return the expected distance of each keypoint from its true place in image pixels, where it is known."""
        if self.calibration is None:
            return None
        confidences = np.array([confidence for _, _, confidence in animal.keypoints])
        return [float(error) for error in self.calibration(confidences) * animal.crop_pixel]

    def _coco(self, record: Iterable[Found], file: TextIO) -> None:
        """Write a COCO keypoint dataset (https://cocodataset.org/#format-data) part by part."""
        file.write('{"info": {"description": "poses found by lynx_pose"}, "categories": ')
        json.dump([self._category()], file)
        file.write(', "images": ')
        write_list(file, ({"id": number} | image for number, image, _ in _images(record)))
        file.write(', "annotations": ')
        write_list(file, self._annotations(record))
        file.write("}\n")

    def _category(self) -> dict[str, Any]:
        limbs = [[start + 1, end + 1] for start, end in self.skeleton.limbs]
        return {"id": 1, "name": "animal", "keypoints": list(self.skeleton.names), "skeleton": limbs}

    def _annotations(self, record: Iterable[Found]) -> Iterator[dict[str, Any]]:
        number = 0
        for image, _, animals in _images(record):
            for animal in animals:
                number += 1
                seen = [(x, y, 2 if confidence >= self.confident else 1) for x, y, confidence in animal.keypoints]
                yield {
                    "id": number,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": animal.box,
                    "area": animal.box[2] * animal.box[3],
                    "iscrowd": 0,
                    # No outline, and saying so: some importers complain where the format's field is missing.
                    "segmentation": [],
                    "keypoints": [value for point in seen for value in point],
                    "num_keypoints": len(seen),
                    "score": animal.score,
                } | animal.ids

    def _results(self, record: Iterable[Found]) -> Iterator[dict[str, Any]]:
        for image, _, animals in _images(record):
            for animal in animals:
                values = [value for point in animal.keypoints for value in point]
                yield {"image_id": image, "category_id": 1, "keypoints": values, "score": animal.score}


def _animals(record: Iterable[Found]) -> Iterator[tuple[Found, int, Animal]]:
    for found in record:
        for frame, animals in enumerate(found.frames):
            for animal in animals:
                yield found, frame, animal


def _images(record: Iterable[Found]) -> Iterator[tuple[int, dict[str, Any], list[Animal]]]:
    """Number photographs and frames from 1; a frame is called as annotation tools call those of a video."""
    number = 0
    for found in record:
        for frame, animals in enumerate(found.frames):
            number += 1
            name = found.name if found.fps is None else f"{found.name}/frame_{frame:06d}.jpg"
            yield number, {"file_name": name, "width": found.width, "height": found.height}, animals


@contextmanager
def replaced(path: Path) -> Iterator[TextIO]:
    """Write a text file that takes its place when it is complete."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8", newline="") as file:
        yield file
    draft.replace(path)


def write_list(file: TextIO, items: Iterable[Any]) -> None:
    """Write a JSON list, an item a line and one at a time."""
    file.write("[")
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        json.dump(item, file, ensure_ascii=False)
    file.write("]")
