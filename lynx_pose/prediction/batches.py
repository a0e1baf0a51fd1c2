"""Photographs and videos in, poses out, in batches and with constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from lynx_pose.data.image import read_image
from lynx_pose.errors import InputError
from lynx_pose.prediction.boxes import AnimalBox, Boxes
from lynx_pose.prediction.estimator import AnimalPoses, Crops, Pixels, PoseEstimator, require_inside
from lynx_pose.prediction.media import Media, is_video
from lynx_pose.prediction.record import Animal, Found
from lynx_pose.prediction.video import frame_rate, frames_of, opened_video

# Photographs that are decoded before their turn, for each thread that decodes.
AHEAD = 4
# Photographs that wait for a batch to fill; most photographs of camera traps are empty.
WAITING = 64
Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Opened:
    """A photograph or frame, ready for the network.

    Args:
        name: of its file.
        size: (width, height).
        crops: of its animals.
        animals: that the boxes file names and that can be used, as many as there are crops.
        problems: what could not be used.
        pixels: [H, W, 3], where they are wanted later.
    """

    name: str
    size: tuple[int, int] = (0, 0)
    crops: Crops | None = None
    animals: Sequence[AnimalBox] = ()
    problems: list[str] = field(default_factory=list)
    pixels: Pixels | None = None


@dataclass(frozen=True)
class Prediction:
    """Looks at photographs and videos one after the other.

    Args:
        estimator: finds poses.
        media: where the files lie.
        boxes: where the animals are.
        workers: threads that decode photographs.
        drawn: called with each photograph's name, pixels and poses; None keeps no pixels.
    """

    estimator: PoseEstimator
    media: Media
    boxes: Boxes
    workers: int
    drawn: Callable[[str, Pixels, Sequence[Animal]], None] | None = None

    def __call__(self, names: Iterable[str]) -> Iterator[Found]:
        """Yield what is found in each file, photographs in batches."""
        photographs: list[str] = []
        for name in names:
            if not is_video(name):
                photographs.append(name)
            else:
                yield from self.photographs(photographs)
                photographs = []
                yield self.video(name)
        yield from self.photographs(photographs)

    def photographs(self, names: Sequence[str]) -> Iterator[Found]:
        """Yield what is found in photographs, in their order."""
        with ThreadPoolExecutor(self.workers) as pool:
            opened = in_order(pool, self._open, names, self.workers * AHEAD)
            for photo, animals in self._estimated(opened):
                if self.drawn and photo.pixels is not None:
                    self.drawn(photo.name, photo.pixels, animals)
                frames = [animals] if photo.crops is not None else []
                yield Found(photo.name, *photo.size, frames, problems=photo.problems)

    def video(self, name: str) -> Found:
        """Return what is found in a video, frame by frame."""
        try:
            with opened_video(self.media.path(name)) as video:
                opened = (
                    self._cut(name, frame, self.boxes.of(name, number)) for number, frame in enumerate(frames_of(video))
                )
                frames, problems, size = [], [], (0, 0)
                for frame, animals in self._estimated(opened):
                    frames.append(animals)
                    problems += frame.problems
                    size = frame.size
                return Found(name, *size, frames, frame_rate(video), problems)
        except InputError as error:
            return Found(name, problems=[str(error)])

    def _open(self, name: str) -> Opened:
        try:
            pixels = read_image(self.media.path(name))
        except InputError as error:
            return Opened(name, problems=[str(error)])
        return self._cut(name, pixels, self.boxes.of(name))

    def _cut(self, name: str, pixels: Pixels, animals: Sequence[AnimalBox]) -> Opened:
        """Cut the animals out; a box that cannot be used is a problem, and the others go on."""
        height, width = pixels.shape[:2]
        usable, problems = [], []
        for animal in animals:
            try:
                require_inside(np.array(animal.pixels((width, height))), (width, height))
                usable.append(animal)
            except InputError as error:
                problems.append(f"{name}: {error}")
        crops = self.estimator.crops(pixels, [animal.pixels((width, height)) for animal in usable])
        kept = pixels if self.drawn else None
        return Opened(name, (width, height), crops, usable, problems, kept)

    def _estimated(self, opened: Iterable[Opened]) -> Iterator[tuple[Opened, list[Animal]]]:
        """Collect photographs until their crops fill a batch, and yield each with its animals' poses."""
        waiting: list[Opened] = []
        for photo in opened:
            waiting.append(photo)
            animals = sum(len(one.animals) for one in waiting)
            if animals >= self.estimator.batch_size or len(waiting) >= WAITING:
                yield from self._batch(waiting)
                waiting = []
        yield from self._batch(waiting)

    def _batch(self, photographs: Sequence[Opened]) -> Iterator[tuple[Opened, list[Animal]]]:
        with_animals = [photo for photo in photographs if photo.crops is not None and photo.animals]
        crops = [photo.crops for photo in with_animals if photo.crops is not None]
        poses = iter(self.estimator.poses(crops) if crops else ())
        for photo in photographs:
            has_animals = photo.crops is not None and photo.animals
            yield photo, animals_of(photo, next(poses)) if has_animals else []


def animals_of(photo: Opened, poses: AnimalPoses) -> list[Animal]:
    """Return each animal of a photograph with its pose as plain values."""
    assert photo.crops is not None, "it has animals"
    rows = np.concatenate([poses.keypoints, poses.confidences[..., None]], axis=-1).round(4)
    parts = zip(photo.animals, poses.boxes, rows, poses.scores, photo.crops.image_pixels, strict=True)
    return [
        Animal(box.round(4).tolist(), row.tolist(), float(score), float(pixel), animal.score, dict(animal.ids))
        for animal, box, row, score, pixel in parts
    ]


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Given], Result], items: Iterable[Given], ahead: int
) -> Iterator[Result]:
    """Yield the results of items in their order; at most `ahead` of them are begun before they are asked for."""
    rest = iter(items)
    begun: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(rest, ahead))
    while begun:
        result = begun.popleft().result()
        begun.extend(pool.submit(work, item) for item in islice(rest, 1))
        yield result


def write_image(path: Path, pixels: Pixels) -> None:
    """Write [H, W, 3] RGB as the file's name says, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".draft-{path.name}")
    if not cv2.imwrite(str(draft), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)):
        raise InputError(f"{path}: the picture cannot be written")
    draft.replace(path)
