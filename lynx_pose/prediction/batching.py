"""Images and videos in, poses out, in batches and with constant memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np

from lynx_pose.arrays import Pixels
from lynx_pose.data.annotations import check_box
from lynx_pose.data.image import read_image
from lynx_pose.data.plausibility import reads_as_corners
from lynx_pose.errors import InputError
from lynx_pose.formats.boxes import AnimalBox
from lynx_pose.prediction.box_sources import BoxSource
from lynx_pose.prediction.estimator import AnimalPoses, Crops, PoseEstimator
from lynx_pose.prediction.media import Media, is_video
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses
from lynx_pose.prediction.video import frame_rate, open_video, read_frames

# Images that are decoded before their turn, for each thread that decodes.
AHEAD = 4
# Images that wait for a batch to fill; most images of camera traps are empty.
WAITING = 64
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image or frame, ready for the network.

    Args:
        name: of its file.
        size: (width, height).
        crops: of its animals; None where the file could not be read.
        boxes: of the animals that can be used, as many as there are crops.
        problems: what could not be used.
        pixels: [H, W, 3], where they are wanted later.
    """

    name: str
    size: tuple[int, int] = (0, 0)
    crops: Crops | None = None
    boxes: Sequence[AnimalBox] = ()
    problems: list[str] = field(default_factory=list)
    pixels: Pixels | None = None


@dataclass(frozen=True)
class BatchPredictor:
    """Finds poses in images and videos, one file after the other.

    Args:
        estimator: finds poses.
        media: where the files lie.
        boxes: where the animals are.
        workers: threads that decode images.
        draw: called with each image's name, pixels and poses; None keeps no pixels.
    """

    estimator: PoseEstimator
    media: Media
    boxes: BoxSource
    workers: int
    draw: Callable[[str, Pixels, Sequence[AnimalPose]], None] | None = None

    def __call__(self, names: Iterable[str]) -> Iterator[ImagePoses]:
        """Yield what is found in each file, images in batches."""
        images: list[str] = []
        for name in names:
            if not is_video(name):
                images.append(name)
            else:
                yield from self.predict_images(images)
                images = []
                yield self.predict_video(name)
        yield from self.predict_images(images)

    def predict_images(self, names: Sequence[str]) -> Iterator[ImagePoses]:
        """Yield what is found in images, in their order."""
        with ThreadPoolExecutor(self.workers) as pool:
            prepared = map_in_order(pool, self._read, names, self.workers * AHEAD)
            for image, animals in self._predict(prepared):
                if self.draw and image.pixels is not None:
                    self.draw(image.name, image.pixels, animals)
                frames = [animals] if image.crops is not None else []
                yield ImagePoses(image.name, *image.size, frames, problems=image.problems)

    def predict_video(self, name: str) -> ImagePoses:
        """Return what is found in a video, frame by frame."""
        try:
            with open_video(self.media.path(name)) as video:
                numbered = enumerate(read_frames(video))
                prepared = (self._crop(name, frame, self.boxes.boxes(name, number)) for number, frame in numbered)
                frames, problems, size = [], [], (0, 0)
                for frame, animals in self._predict(prepared):
                    frames.append(animals)
                    problems += frame.problems
                    size = frame.size
                return ImagePoses(name, *size, frames, frame_rate(video), problems)
        except InputError as error:
            return ImagePoses(name, problems=[str(error)])

    def _read(self, name: str) -> PreparedImage:
        try:
            pixels = read_image(self.media.path(name))
        except InputError as error:
            return PreparedImage(name, problems=[str(error)])
        return self._crop(name, pixels, self.boxes.boxes(name))

    def _crop(self, name: str, pixels: Pixels, boxes: Sequence[AnimalBox]) -> PreparedImage:
        """Cut the animals out; a box that cannot be used is a problem, and the others go on."""
        height, width = pixels.shape[:2]
        usable, problems = [], []
        for box in boxes:
            try:
                values = np.array(box.pixels((width, height)))
                check_box(values, (width, height))
                if reads_as_corners(values, (width, height)):
                    raise InputError(
                        f"the box {values.tolist()} leads far out of the image of {width} × {height} pixels, and fits "
                        "as corners x, y, x, y where x, y, width, height are expected"
                    )
                usable.append(box)
            except InputError as error:
                problems.append(f"{name}: {error}")
        crops = self.estimator.crops(pixels, [box.pixels((width, height)) for box in usable])
        return PreparedImage(name, (width, height), crops, usable, problems, pixels if self.draw else None)

    def _predict(self, prepared: Iterable[PreparedImage]) -> Iterator[tuple[PreparedImage, list[AnimalPose]]]:
        """Collect images until their crops fill a batch, and yield each with its animals' poses."""
        waiting: list[PreparedImage] = []
        for image in prepared:
            waiting.append(image)
            animals = sum(len(one.boxes) for one in waiting)
            if animals >= self.estimator.batch_size or len(waiting) >= WAITING:
                yield from self._predict_batch(waiting)
                waiting = []
        yield from self._predict_batch(waiting)

    def _predict_batch(self, images: Sequence[PreparedImage]) -> Iterator[tuple[PreparedImage, list[AnimalPose]]]:
        crops = [image.crops for image in images if image.crops is not None and image.boxes]
        poses = iter(self.estimator.poses(crops) if crops else ())
        for image in images:
            has_animals = image.crops is not None and image.boxes
            yield image, plain_poses(image, next(poses)) if has_animals else []


def plain_poses(image: PreparedImage, poses: AnimalPoses) -> list[AnimalPose]:
    """Return each animal of an image with its pose as plain values."""
    assert image.crops is not None, "it has animals"
    rows = np.concatenate([poses.keypoints, poses.confidences[..., None]], axis=-1).round(4)
    parts = zip(poses.crop_numbers, poses.boxes, rows, poses.scores, strict=True)
    pixels, listed = image.crops.pixel_sizes, image.boxes
    return [
        AnimalPose(
            *(box.round(4).tolist(), row.tolist(), float(score), float(pixels[number])),
            *(listed[number].score, dict(listed[number].ids)),
        )
        for number, box, row, score in parts
    ]


def map_in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield the results of items in their order; at most `ahead` of them are begun before they are asked for."""
    rest = iter(items)
    begun: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(rest, ahead))
    while begun:
        result = begun.popleft().result()
        begun.extend(pool.submit(work, item) for item in islice(rest, 1))
        yield result
