"""Videos: their frames, poses smoothed over time, and videos with poses drawn."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from lynx_pose.arrays import Pixels
from lynx_pose.errors import InputError
from lynx_pose.files import atomic_path
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses

# Of the confidence, so that a frame alone among unsure ones still has a place.
LEAST_WEIGHT = 1e-3


@contextmanager
def open_video(path: Path) -> Iterator[cv2.VideoCapture]:
    """Open a video.

    Raises:
        InputError: it is not there, or no video.
    """
    video = cv2.VideoCapture(str(path))
    try:
        if not video.isOpened():
            raise InputError(f"{path}: there is no such video, or it cannot be decoded")
        yield video
    finally:
        video.release()


def read_frames(video: cv2.VideoCapture) -> Iterator[Pixels]:
    """Yield the frames [H, W, 3] RGB of an opened video."""
    while True:
        is_read, frame = video.read()
        if not is_read:
            return
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


def frame_rate(video: cv2.VideoCapture) -> float:
    """Return the frames a second that an opened video claims; 25 where it claims none."""
    claimed = float(video.get(cv2.CAP_PROP_FPS))
    return claimed if np.isfinite(claimed) and claimed > 0 else 25.0


def smooth_poses(found: ImagePoses, sigma: float) -> ImagePoses:
    """Smooth the keypoints of a video's animal over time by a Gaussian, each frame by its confidence.

    Args:
        found: in a video; frames without the animal stay without it.
        sigma: standard deviation in frames.

    Raises:
        InputError: there are several animals in a frame, of which nobody knows who is who in the next.
    """
    if any(len(animals) > 1 for animals in found.frames):
        raise InputError(f"{found.name}: smooth= needs videos of one animal; this one has frames with several")
    held = [number for number, animals in enumerate(found.frames) if animals]
    if not held:
        return found
    points = np.zeros((len(found.frames), len(found.frames[held[0]][0].keypoints), 3))
    points[held] = [found.frames[number][0].keypoints for number in held]
    weight = np.zeros(points.shape[:2])
    weight[held] = np.maximum(points[held, :, 2], LEAST_WEIGHT)
    spread = gaussian_filter1d(weight, sigma, axis=0, mode="constant")
    places = gaussian_filter1d(points[..., :2] * weight[..., None], sigma, axis=0, mode="constant")
    places = places / np.maximum(spread, np.finfo(float).tiny)[..., None]
    frames = list(found.frames)
    for number in held:
        animal = frames[number][0]
        moved = zip(places[number].tolist(), animal.keypoints, strict=True)
        frames[number] = [replace(animal, keypoints=[[x, y, confidence] for (x, y), (_, _, confidence) in moved])]
    return replace(found, frames=frames)


def draw_video(
    source: Path, found: ImagePoses, target: Path, draw: Callable[[Pixels, Sequence[AnimalPose]], Pixels]
) -> None:
    """Write a video's frames with what `draw` adds to each.

    Raises:
        InputError: the target cannot be written, or not all of it.
    """
    size = (found.width, found.height)
    with atomic_path(target) as draft, open_video(source) as video:
        writer = cv2.VideoWriter(str(draft), cv2.VideoWriter.fourcc(*"mp4v"), found.fps or 25.0, size)
        if not writer.isOpened():
            raise InputError(f"{target}: the video cannot be written")
        count = 0
        for frame, animals in zip(read_frames(video), found.frames, strict=False):
            writer.write(cv2.cvtColor(draw(frame, animals), cv2.COLOR_RGB2BGR))
            count += 1
        writer.release()
        # OpenCV does not say that a disk is full; a video without its end has no frames.
        if cv2.VideoCapture(str(draft)).get(cv2.CAP_PROP_FRAME_COUNT) != count:
            raise InputError(f"{target}: could not be written to its end; is the disk full?")
