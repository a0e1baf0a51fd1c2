"""Left and right: how often a network exchanges them, and how often it puts both in one place."""

from dataclasses import dataclass

import numpy as np

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.metrics.validation_metric import Poses

# Of the box's longer side: annotated points that are nearer to each other than this cannot be told apart.
APART = 0.05
# Of the annotated distance: two points that are predicted nearer to each other than this lie in one place.
TOGETHER = 0.25


@dataclass(frozen=True, eq=False)
class Sides:
    """The P pairs of left and right keypoints of N animals.

    Args:
        judged: [N, P] whether both are annotated, at least `APART` of the box's longer side from each other.
        exchanged: [N, P] whether the two predictions would be nearer to the truth if they changed places.
        collapsed: [N, P] whether the predictions lie in one place: nearer than `TOGETHER` of the true distance.
    """

    judged: Mask
    exchanged: Mask
    collapsed: Mask

    def shares(self, pairs: int | slice = slice(None)) -> dict[str, float | int | None]:
        """Return how many of these pairs are judged, and which shares of them are exchanged and collapsed.

        A share is None where no pair is judged.
        """
        judged = self.judged[:, pairs]

        def share(what: Mask) -> float | None:
            return float(what[:, pairs][judged].mean()) if judged.any() else None

        return {"judged": int(judged.sum()), "exchanged": share(self.exchanged), "collapsed": share(self.collapsed)}


def side_shares(poses: Poses, skeleton: Skeleton) -> dict[str, float | int | None]:
    """Return `Sides.shares` of all pairs."""
    return compare_sides(poses, skeleton).shares()


@dataclass(frozen=True)
class SideShare:
    """One of these shares as a metric of each epoch.

    Args:
        kind: `exchanged` or `collapsed`.
    """

    kind: str

    def __call__(self, poses: Poses, skeleton: Skeleton) -> float:
        """Return the share of all pairs; NaN where none is judged."""
        share = side_shares(poses, skeleton)[self.kind]
        return float("nan") if share is None else share


def compare_sides(poses: Poses, skeleton: Skeleton) -> Sides:
    """Judge each pair of left and right of each animal."""
    left, right = np.array(skeleton.pairs, dtype=int).reshape(-1, 2).T
    truth, found = poses.truth, poses.keypoints
    longer = np.array([max(record.box[2:]) for record in poses.records])

    def distance(one: Floats, other: Floats) -> Floats:
        return np.asarray(np.linalg.norm(one - other, axis=-1))

    apart = distance(truth[:, left], truth[:, right])
    straight = distance(found[:, left], truth[:, left]) + distance(found[:, right], truth[:, right])
    crossed = distance(found[:, left], truth[:, right]) + distance(found[:, right], truth[:, left])
    return Sides(
        judged=poses.visible[:, left] & poses.visible[:, right] & (apart >= APART * longer[:, None]),
        exchanged=crossed < straight,
        collapsed=distance(found[:, left], found[:, right]) < TOGETHER * apart,
    )
