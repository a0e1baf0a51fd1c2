"""Animals keep their number through a video."""

import itertools

import numpy as np
import pytest

from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses
from lynx_pose.prediction.tracking import _similarity, box_overlap, track_animals


def _animal(shape, center, rng, confidence=0.9):
    """An animal of a fixed shape [20, 2] that stands at a place, with a little noise; which one, its id tells."""
    points = shape + center + rng.normal(0, 1, (20, 2))
    low, high = points.min(axis=0), points.max(axis=0)
    keypoints = np.column_stack([points, np.full(20, confidence)]).tolist()
    return AnimalPose([*low.tolist(), *(high - low).tolist()], keypoints, 0.9, 1.0)


def _video(paths, rng, shown=lambda frame, animal: True):
    """Animals along paths [A, T, 2], in another order in each frame; each with its true number as an id."""
    shapes = rng.uniform(-60, 60, (len(paths), 20, 2)) * [1.0, 0.6]
    frames = []
    for frame in range(paths.shape[1]):
        animals = [
            AnimalPose(**(vars(_animal(shapes[number], path[frame], rng)) | {"ids": {"true": str(number)}}))
            for number, path in enumerate(paths)
            if shown(frame, number)
        ]
        frames.append([animals[position] for position in rng.permutation(len(animals))])
    return ImagePoses("v.mp4", 640, 480, frames, 25.0)


def _numbers(found):
    """Return the tracks that each true animal was given, in the order of frames."""
    given = {}
    for animals in found.frames:
        assert len({animal.track for animal in animals}) == len(animals)
        for animal in animals:
            given.setdefault(animal.ids["true"], []).append(animal.track)
    return given


def test_animals_that_cross_keep_their_numbers():
    """Three of them, two of which pass through the same place; some frames miss one."""
    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, 80)
    paths = np.stack([
        np.column_stack([100 + 400 * time, 200 + 20 * np.sin(6 * time)]),
        np.column_stack([500 - 400 * time, np.full(80, 205.0)]),
        np.column_stack([np.full(80, 300.0), 400 + 10 * time]),
    ])  # fmt: skip  # a path a row
    found = track_animals(_video(paths, rng, lambda frame, animal: (frame + 7 * animal) % 13 > 0), ANIMAL_POSE_20, 0.2)
    numbers = _numbers(found)
    assert [len(set(tracks)) for tracks in numbers.values()] == [1, 1, 1]
    assert {tracks[0] for tracks in numbers.values()} == {0, 1, 2}


def test_who_is_away_for_long_or_appears_elsewhere_is_new():
    rng = np.random.default_rng(0)
    paths = np.full((1, 100, 2), 300.0)
    paths[0, 70:] = [100.0, 100.0]
    away = track_animals(_video(paths, rng, lambda frame, _: not 20 <= frame < 50), ANIMAL_POSE_20, 0.2)
    assert list(dict.fromkeys(_numbers(away)["0"])) == [0, 1, 2]
    short = track_animals(_video(paths[:, :60], rng, lambda frame, _: not 20 <= frame < 40), ANIMAL_POSE_20, 0.2)
    assert set(_numbers(short)["0"]) == {0}


def test_the_matching_is_the_best_of_all():
    """Against every order of four animals that stand close."""
    rng = np.random.default_rng(3)
    paths = np.repeat(rng.uniform(200, 260, (4, 1, 2)), 2, axis=1) + rng.normal(0, 8, (4, 2, 2))
    found = _video(paths, rng)
    first, second = found.frames
    similarity = np.array([[_similarity(one, other, ANIMAL_POSE_20, 0.2) for other in second] for one in first])
    best = max(itertools.permutations(range(4)), key=lambda order: sum(similarity[n, order[n]] for n in range(4)))
    tracked = track_animals(found, ANIMAL_POSE_20, 0.2).frames
    assert [tracked[1][position].track for position in best] == [animal.track for animal in tracked[0]]


def test_without_a_sure_keypoint_boxes_tell():
    rng = np.random.default_rng(0)
    shape = rng.uniform(-60, 60, (20, 2))
    frames = [[_animal(shape, center, rng, confidence=0.0)] for center in ((200, 200), (203, 200), (500, 200))]
    found = track_animals(ImagePoses("v.mp4", 640, 480, frames, 25.0), ANIMAL_POSE_20, 0.2)
    assert [animals[0].track for animals in found.frames] == [0, 0, 1]
    assert box_overlap(np.array([0, 0, 2, 2.0]), np.array([1, 0, 2, 2.0])) == pytest.approx(1 / 3)
    assert box_overlap(np.array([0, 0, 2, 2.0]), np.array([5, 0, 2, 2.0])) == 0
