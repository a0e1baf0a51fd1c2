"""COCO AP of many resamples of one set of images, as the bootstrap needs it."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lynx_pose.arrays import AnyArray, Floats, Mask
from lynx_pose.formats.coco import ground_truth, pose_results
from lynx_pose.metrics.validation_metric import Poses

RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Matches:
    """What COCO's evaluator decides within each image, which no other image changes.

    Args:
        image: [D] number of the image of each predicted pose, highest score first.
        correct: [T, D] whether the pose is matched to an animal at each OKS threshold.
        animals: [I] annotated animals in each image.
    """

    image: AnyArray
    correct: Mask
    animals: AnyArray


def match_poses(poses: Poses, sigmas: Sequence[float]) -> Matches:
    """Let COCO's evaluator match predicted poses to animals, image by image."""
    numbers = poses.image_numbers
    order = {number: position for position, number in enumerate(dict.fromkeys(numbers))}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = ground_truth(poses.records, numbers, poses.areas)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(pose_results(numbers, poses.keypoints, poses.scores)), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.evaluate()
    found = [one for one in evaluation.evalImgs if one is not None]
    image = np.concatenate([np.full(len(one["dtScores"]), order[one["image_id"]]) for one in found])
    scores = np.concatenate([one["dtScores"] for one in found])
    correct = np.concatenate([one["dtMatches"] > 0 for one in found], axis=1)
    # Of equal scores the order of records would decide; any other order is as good, so it is drawn.
    shuffled = np.random.default_rng(0).permutation(len(scores)) if len(set(scores)) == 1 else np.arange(len(scores))
    by_score = shuffled[np.argsort(-scores[shuffled], kind="mergesort")]
    return Matches(image[by_score], correct[:, by_score], np.bincount([order[number] for number in numbers]))


def image_positions(poses: Poses) -> AnyArray:
    """Return [N] the number of each pose's image, counted in the order in which images first occur."""
    numbers = poses.image_numbers
    order = {number: position for position, number in enumerate(dict.fromkeys(numbers))}
    return np.array([order[number] for number in numbers])


def resample_images(poses: Poses, resamples: int, clusters: Sequence[str] | None = None) -> AnyArray:
    """Return [R, I] how often each image occurs in each of the bootstrap's resamples, the same for the same images.

    Args:
        poses: of N animals.
        resamples: R.
        clusters: [N] names of what belongs together, such as individuals or bursts, and is drawn as a whole; the images
            of one animal are more alike than those of two. None draws images.
    """
    places = image_positions(poses)
    _, cluster = np.unique(places if clusters is None else clusters, return_inverse=True)
    of_image = np.zeros(places.max() + 1, dtype=int)
    of_image[places] = cluster
    count = cluster.max() + 1
    return np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=resamples)[:, of_image]


def resampled_ap(matches: Matches, counts: AnyArray) -> Floats:
    """Compute COCO AP where image i occurs `counts[r, i]` times in resample r.

    A pose that occurs n times moves along the precision-recall curve in one step of n; the curve's envelope at
    the recalls that COCO reads is the same as that of n single steps.

    Args:
        matches: of the set itself.
        counts: [R, I].

    Returns:
        [R].
    """
    weights = counts[:, matches.image]
    total = counts @ matches.animals
    seen = np.cumsum(weights, axis=1)
    values = [
        _interpolated(np.cumsum(weights * correct, axis=1), seen, total) for correct in matches.correct
    ]  # one row a threshold
    return np.asarray(np.mean(values, axis=0))


def _interpolated(true: AnyArray, seen: AnyArray, total: AnyArray) -> Floats:
    """Return the mean over recalls of the envelope of precision [R], from running counts [R, D] and animals [R]."""
    precision = true / np.maximum(seen, 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = true / np.maximum(total, 1)[:, None]
    results = np.zeros(len(true))
    for number in range(len(true)):
        places = np.searchsorted(recall[number], RECALLS, side="left")
        reached = places < recall.shape[1]
        results[number] = envelope[number, places[reached]].sum() / len(RECALLS)
    return results
