"""The validation metric: collects poses by instance, across processes, and computes all metrics of an epoch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from lynx_pose.arrays import AnyArray, Floats, Mask
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.formats.coco import ground_truth, pose_results, pose_score
from lynx_pose.metrics.average_precision import coco_keypoint_metrics, mean_share_above
from lynx_pose.metrics.object_scale import annotated_area
from lynx_pose.metrics.oks import oks

# Random orders over which AP of unranked poses is averaged.
ORDERS = 30
COCO_METRICS = ("AP", "AP50", "AP75", "AR")
OWN_METRICS = ("AP_eq18", "mean_error_px", "median_error_px")


@dataclass(frozen=True, eq=False)
class Poses:
    """Predicted poses of N records: keypoints [N, K, 2] in image pixels and confidences [N, K].

    Args:
        records: the animals.
        keypoints: [N, K, 2] in image pixels.
        scores: [N, K] confidences.
        areas: [N] squared object scales, as OKS takes them.
        depth: [N, K] behind the animal's root in image pixels, of heads that find it.
    """

    records: Sequence[PoseRecord]
    keypoints: Floats
    scores: Floats
    areas: Floats
    depth: Floats | None = None

    @property
    def truth(self) -> Floats:
        """Annotated keypoints [N, K, 2] in image pixels."""
        return np.array([record.keypoints for record in self.records])

    @property
    def visible(self) -> Mask:
        """[N, K], true where annotated."""
        return np.array([record.visible for record in self.records])

    @property
    def distances(self) -> Floats:
        """[N, K] in image pixels; meaningless where not annotated."""
        return np.asarray(np.linalg.norm(self.keypoints - self.truth, axis=-1))

    def oks(self, sigmas: Sequence[float]) -> Floats:
        """[N] object keypoint similarity (Equation 13 of the thesis)."""
        return oks(self.distances, self.visible, self.areas, sigmas)

    def coco_metrics(self, sigmas: Sequence[float]) -> dict[str, float]:
        """Return the ten COCO keypoint metrics; of poses that no score ranks, their means over random orders.

        Raises:
            ValueError: they cannot be computed; the message says why.
        """
        numbers = self.image_numbers
        results = pose_results(numbers, self.keypoints, self.scores)
        truth = ground_truth(self.records, numbers, self.areas)
        if self.ranked:
            return coco_keypoint_metrics(truth, results, sigmas)
        rng = np.random.default_rng(0)
        found = []
        for _ in range(ORDERS):
            order = rng.permutation(len(results))
            ordered = [result | {"score": 1.0 + rank} for result, rank in zip(results, order, strict=True)]
            found.append(coco_keypoint_metrics(truth, ordered, sigmas))
        return {name: float(np.mean([metrics[name] for metrics in found])) for name in found[0]}

    @property
    def ranked(self) -> bool:
        """Whether scores tell better from worse poses.

        Of heads that give coordinates alone all are equal, and the order of the records would decide COCO's AP.
        """
        scores = [pose_score(confidences) for confidences in self.scores]
        return len(scores) < 2 or min(scores) < max(scores)

    @property
    def image_numbers(self) -> list[int]:
        """A number for each record's image, for COCO's evaluators: image ids may be words, which they cannot read."""
        numbers = {record.image_id: number for number, record in enumerate(self.records)}
        return [numbers[record.image_id] for record in self.records]

    def subset(self, chosen: Mask) -> Self:
        """The poses where `chosen` [N] is true."""
        records = [record for record, kept in zip(self.records, chosen, strict=True) if kept]
        depth = None if self.depth is None else self.depth[chosen]
        return type(self)(records, self.keypoints[chosen], self.scores[chosen], self.areas[chosen], depth)


# A metric of one's own: from poses and their skeleton to a number.
PoseMetric = Callable[[Poses, Skeleton], float]


class ValidationMetric(Metric):
    """AP, AR and distances of poses in image pixels.

    Each instance counts once, however many processes saw it, so the metrics do not depend on their number: the states
    of all processes are concatenated, and `_poses` keeps one entry for each record.

    Args:
        records: the validation records; `update` refers to them by index.
        skeleton: of the records, with OKS sigmas.
        areas: [N] squared object scales of the records; None takes those of the annotations.
        more: further metrics by name.
    """

    full_state_update = False
    index: list[Tensor]
    keypoints: list[Tensor]
    scores: list[Tensor]

    def __init__(
        self,
        records: Sequence[PoseRecord],
        skeleton: Skeleton,
        areas: Floats | None = None,
        more: Mapping[str, PoseMetric] | None = None,
    ):
        super().__init__()
        self.records = records
        self.areas = annotated_area(records) if areas is None else areas
        self.skeleton = skeleton
        self.more = dict(more or {})
        self.poses: Poses | None = None
        for state in ("index", "keypoints", "scores"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    @property
    def names(self) -> list[str]:
        """Of what `compute` returns."""
        return [*COCO_METRICS, *OWN_METRICS, *self.more]

    def update(self, index: Tensor, keypoints: Tensor, scores: Tensor) -> None:
        """Add poses.

        Args:
            index: [B] of the records.
            keypoints: [B, K, 2] in image pixels, or [B, K, 3] with their depth.
            scores: [B, K] confidences.
        """
        self.index.append(index)
        self.keypoints.append(keypoints.double())
        self.scores.append(scores.double())

    def compute(self) -> dict[str, float]:
        """Return COCO's AP, AP50, AP75 and AR, AP by Equation 18 of the thesis, distances in image pixels, and `more`.

        The distances are mean and median over all visible keypoints of all animals.

        Raises:
            ValueError: AP cannot be computed; the message says why.
        """
        self.poses = poses = self._poses()
        coco = self._coco_metrics(poses)
        distances = poses.distances[poses.visible]
        eq18 = mean_share_above(poses.oks(self.skeleton.sigmas))
        own = dict(zip(OWN_METRICS, (eq18, float(distances.mean()), float(np.median(distances))), strict=True))
        more = {name: float(metric(poses, self.skeleton)) for name, metric in self.more.items()}
        return {name: coco[name] for name in COCO_METRICS} | own | more

    def _coco_metrics(self, poses: Poses) -> dict[str, float]:
        return poses.coco_metrics(self.skeleton.sigmas)

    def _poses(self) -> Poses:
        """Return what was collected, once a record and in the records' order."""
        index, first = np.unique(joined(self.index), return_index=True)
        records = [self.records[position] for position in index]
        keypoints = joined(self.keypoints)[first]
        depth = keypoints[..., 2] if keypoints.shape[-1] == 3 else None
        return Poses(records, keypoints[..., :2], joined(self.scores)[first], self.areas[index], depth)

    def results(self) -> list[dict[str, Any]]:
        """Return the poses of the last `compute` in COCO results format, under the dataset's own image ids.

        Of heads that find depth, `depth` holds it for each keypoint, in image pixels behind the root.
        """
        assert self.poses is not None, "compute() comes first"
        records = self.poses.records
        results = pose_results([record.image_id for record in records], self.poses.keypoints, self.poses.scores)
        named = [result | {"instance": record.id} for result, record in zip(results, records, strict=True)]
        if self.poses.depth is None:
            return named
        return [result | {"depth": depth} for result, depth in zip(named, self.poses.depth.tolist(), strict=True)]


class ValidationLoss(Metric):
    """The mean loss over the validation records, each of which counts once, as for `ValidationMetric`.

    So it is the same for any number of processes; a mean of their means would not be, where they saw unlike numbers.
    """

    full_state_update = False
    index: list[Tensor]
    loss: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for state in ("index", "loss"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, loss: Tensor) -> None:
        """Add the mean loss of a batch of the records `index` [B]."""
        self.index.append(index)
        self.loss.append(loss.detach().double().expand(len(index)))

    def compute(self) -> float:
        """Return the mean over records."""
        _, first = np.unique(joined(self.index), return_index=True)
        return float(joined(self.loss)[first].mean())


def joined(state: list[Tensor] | Tensor) -> AnyArray:
    """Return a metric's state as one array: a list on one process is one tensor after merging several."""
    return (state if isinstance(state, Tensor) else torch.cat(state)).cpu().numpy()
