"""Poses over time, and drawn videos."""

import multiprocessing
import resource
import signal
import sys

import cv2
import numpy as np
import pytest

from lynx_pose.errors import InputError
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses
from lynx_pose.prediction.video import draw_video, smooth_poses


def _found(tracks):
    """A video of one animal with tracks [T, K, 3]; NaN where it is not there."""
    frames = [
        [] if np.isnan(points).any() else [AnimalPose([0, 0, 9, 9], points.tolist(), 0.5, 1.0)] for points in tracks
    ]
    return ImagePoses("v.mp4", 10, 10, frames, 25.0)


def _places(found):
    return np.array([animals[0].keypoints for animals in found.frames if animals])


def test_smoothing_is_the_weighted_mean_of_neighbours():
    rng = np.random.default_rng(0)
    tracks = rng.uniform(0.1, 1, (60, 3, 3))
    result = _places(smooth_poses(_found(tracks), 1.5))
    frame = 30
    weight = np.exp(-((np.arange(60) - frame) ** 2) / (2 * 1.5**2))[:, None] * tracks[..., 2]
    expected = (weight[..., None] * tracks[..., :2]).sum(axis=0) / weight.sum(axis=0)[:, None]
    np.testing.assert_allclose(result[frame, :, :2], expected, rtol=1e-3)
    np.testing.assert_array_equal(result[..., 2], tracks[..., 2])


def test_an_unsure_frame_follows_its_neighbours():
    tracks = np.ones((21, 1, 3)) * [5.0, 7.0, 0.9]
    tracks[10] = [500.0, 0.0, 0.0]
    np.testing.assert_allclose(_places(smooth_poses(_found(tracks), 2.0))[10, 0, :2], [5, 7], atol=0.5)


def test_frames_without_the_animal_stay_without():
    tracks = np.ones((9, 1, 3))
    tracks[3:5] = np.nan
    result = smooth_poses(_found(tracks), 1.0)
    assert [len(animals) for animals in result.frames] == [1, 1, 1, 0, 0, 1, 1, 1, 1]
    np.testing.assert_allclose(_places(result)[..., :2], 1.0)


def test_each_of_several_animals_is_smoothed_alone():
    """One that stands beside one that trembles stays where it is, in whichever order the frames have them."""
    rng = np.random.default_rng(0)
    standing = np.ones((20, 2, 3)) * [5.0, 7.0, 0.9]
    trembling = np.ones((20, 2, 3)) * [500.0, 300.0, 0.9] + rng.normal(0, 3, (20, 2, 3)) * [1, 1, 0]
    frames = []
    for frame in range(20):
        pair = [
            AnimalPose([0, 0, 9, 9], points[frame].tolist(), 0.5, 1.0, track=track)
            for track, points in enumerate((standing, trembling))
        ]
        frames.append(pair[:: 1 if rng.random() < 0.5 else -1])
    result = smooth_poses(ImagePoses("v.mp4", 10, 10, frames, 25.0), 2.0)
    by_track = {
        track: np.array([next(one.keypoints for one in animals if one.track == track) for animals in result.frames])
        for track in (0, 1)
    }
    np.testing.assert_allclose(by_track[0], standing)
    alone = _places(smooth_poses(_found(trembling), 2.0))
    np.testing.assert_allclose(by_track[1], alone)
    assert by_track[1][..., 0].std() < 0.6 * trembling[..., 0].std()


def _draw_with_little_room(source, found, target, room):
    """In a process of its own, whose files may grow to so many bytes: writing fails as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        draw_video(source, found, target, lambda frame, animals: frame)
    except InputError as error:
        sys.exit(3 if "could not be written to its end" in str(error) else 4)


@pytest.mark.parametrize(("room", "code"), [(60_000, 3), (10_000_000, 0)])
def test_a_drawn_video_is_whole_or_not_there(tmp_path, room, code):
    rng = np.random.default_rng(0)
    source, target = tmp_path / "v.mp4", tmp_path / "drawn.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (96, 64))
    for _ in range(40):
        writer.write(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8))
    writer.release()
    found = ImagePoses("v.mp4", 96, 64, [[] for _ in range(40)], 25.0)
    arguments = (source, found, target, room)
    process = multiprocessing.get_context("spawn").Process(target=_draw_with_little_room, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == code
    assert {path.name for path in tmp_path.iterdir()} == {"v.mp4"} | ({"drawn.mp4"} if code == 0 else set())
