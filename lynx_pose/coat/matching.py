"""How alike two coats are: SIFT features (Lowe 2004) of OpenCV that match by his ratio test."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lynx_pose.arrays import AnyArray, Floats, Pixels

# Lowe's ratio, and how many features of a picture take part.
RATIO = 0.8
FEATURES = 400


@dataclass(frozen=True, eq=False)
class Features:
    """Of one picture: places [N, 2] in its pixels and descriptors [N, 128] of length 1."""

    places: Floats
    descriptors: AnyArray


def find_features(image: Pixels) -> Features:
    """Find the strongest features of a picture [H, W, 3] RGB, or [H, W, 4] with a mask, at local contrast."""
    grey = cv2.createCLAHE(2.0, (4, 4)).apply(cv2.cvtColor(image[..., :3], cv2.COLOR_RGB2GRAY))
    mask = cv2.erode(image[..., 3], np.ones((5, 5), np.uint8)) if image.shape[2] == 4 else None
    sift = cv2.SIFT.create(FEATURES, contrastThreshold=0.02)
    found, descriptors = sift.detectAndCompute(grey, mask)
    if descriptors is None:
        return Features(np.zeros((0, 2)), np.zeros((0, 128), np.float32))
    length = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Features(np.array([point.pt for point in found]), descriptors / np.maximum(length, 1e-6))


def count_matches(query: Features, other: Features, within: float = np.inf) -> int:
    """Count the features of a picture that have one clear match in another.

    Args:
        query: of one picture.
        other: of the other.
        within: pixels that a match may be away from its place in the query, for pictures of one canonical animal.
    """
    if len(query.places) == 0 or len(other.places) < 2:
        return 0
    likeness = query.descriptors @ other.descriptors.T
    nearest, rows = likeness.argmax(axis=1), np.arange(len(likeness))
    best = likeness[rows, nearest]
    likeness[rows, nearest] = -1
    second = likeness.max(axis=1)
    clear = np.sqrt(np.maximum(0, 1 - best)) < RATIO * np.sqrt(np.maximum(0, 1 - second))
    near = np.linalg.norm(query.places - other.places[nearest], axis=1) < within
    return int((clear & near).sum())


def top1_accuracy(
    features: Sequence[Features], identities: Sequence[str], sides: Sequence[str], within: float = np.inf
) -> tuple[float, int]:
    """Look each picture's individual up among all others of the same flank, by the most matches.

    Args:
        features: of each picture.
        identities: of the individuals.
        sides: that the pictures show.
        within: as `count_matches`.

    Returns:
        the share of pictures whose best match is the same individual, and their number: of those whose individual
        has another picture of that flank.
    """
    names, flanks = np.array(identities), np.array(sides)
    right = []
    for number, mine in enumerate(features):
        rivals = np.flatnonzero((flanks == flanks[number]) & (np.arange(len(names)) != number)).tolist()
        if names[number] in names[rivals]:
            counts = [count_matches(mine, features[rival], within) for rival in rivals]
            right.append(names[rivals[int(np.argmax(counts))]] == names[number])
    return float(np.mean(right)) if right else float("nan"), len(right)
