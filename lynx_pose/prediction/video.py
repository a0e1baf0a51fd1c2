"""Videos: their frames, poses smoothed over time, and videos with poses drawn."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from lynx_pose.arrays import Floats, Pixels
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
    """Smooth the keypoints of a video's animals over time by a Gaussian, each frame by its confidence.

    Args:
        found: in a video, each animal with its track; frames without an animal stay without it.
        sigma: standard deviation in frames.
    """
    frames = [list(animals) for animals in found.frames]
    places: dict[int | None, list[tuple[int, int]]] = {}
    for frame, animals in enumerate(frames):
        for position, animal in enumerate(animals):
            places.setdefault(animal.track, []).append((frame, position))
    for track in places.values():
        held = [frame for frame, _ in track]
        poses = [frames[frame][position] for frame, position in track]
        smoothed = _smooth(np.array([pose.keypoints for pose in poses]), held, sigma)
        for (frame, position), pose, points in zip(track, poses, smoothed, strict=True):
            frames[frame][position] = replace(pose, keypoints=points.tolist())
    return replace(found, frames=frames)


def _smooth(poses: Floats, held: Sequence[int], sigma: float) -> Floats:
    """Smooth poses [T, K, 3] that an animal has in the frames `held`, whose other frames weigh nothing."""
    first = held[0]
    at = np.array(held) - first
    points = np.zeros((at[-1] + 1, *poses.shape[1:]))
    points[at] = poses
    weight = np.zeros(points.shape[:2])
    weight[at] = np.maximum(poses[..., 2], LEAST_WEIGHT)
    spread = gaussian_filter1d(weight, sigma, axis=0, mode="constant")
    moved = gaussian_filter1d(points[..., :2] * weight[..., None], sigma, axis=0, mode="constant")
    moved = moved / np.maximum(spread, np.finfo(float).tiny)[..., None]
    return np.concatenate([moved[at], poses[..., 2:]], axis=-1)


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
