"""The validation metric of networks that find the animals by themselves: misses and false alarms count."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from lynx_pose.arrays import Floats
from lynx_pose.data.photographs import group_by_photograph
from lynx_pose.formats.coco import ground_truth, pose_results
from lynx_pose.metrics.average_precision import NAMES, coco_keypoint_metrics
from lynx_pose.metrics.oks import oks
from lynx_pose.metrics.validation_metric import Poses, ValidationMetric, joined

# OKS from which an animal counts as found.
FOUND = 0.5


class PhotographMetric(ValidationMetric):
    """As `ValidationMetric`, of any number of poses a photograph; `update` refers to photographs by index.

    COCO's AP and AR take all poses, each with the mean confidence of its keypoints as its score. For everything that
    needs the pose of a certain animal, each animal has the pose with the highest OKS that no other animal has; one that
    is missed has a pose at (0, 0) with confidences of 0.
    """

    # Of the last `compute`: poses that are no animal's, as COCO results under the dataset's own image ids.
    false_alarms: list[dict[str, Any]]

    @property
    @override
    def names(self) -> list[str]:
        return [*super().names, "found", "false_alarms"]

    @override
    def update(self, index: Tensor, keypoints: Tensor, scores: Tensor) -> None:
        """Add poses.

        Args:
            index: [B] of the photographs.
            keypoints: [B, A, K, 2] in image pixels; NaN where a photograph has fewer than A.
            scores: [B, A, K] confidences.
        """
        real = torch.isfinite(keypoints).flatten(2).all(dim=-1)
        super().update(index[:, None].expand(real.shape)[real], keypoints[real], scores[real])

    @override
    def compute(self) -> dict[str, float]:
        """Return what `ValidationMetric` does, the share of animals found, and false alarms a photograph."""
        metrics = super().compute()
        assert self.poses is not None, "just computed"
        photographs = len(group_by_photograph(self.records))
        found = float((self.poses.oks(self.skeleton.sigmas) >= FOUND).mean())
        return metrics | {"found": found, "false_alarms": len(self.false_alarms) / photographs}

    @override
    def results(self) -> list[dict[str, Any]]:
        """Return each animal's pose as `ValidationMetric` does, and after them the false alarms, of no instance."""
        return super().results() + [result | {"instance": None} for result in self.false_alarms]

    @override
    def _poses(self) -> Poses:
        photographs = group_by_photograph(self.records)
        order = {id(record): position for position, record in enumerate(self.records)}
        count = len(self.skeleton)
        keypoints, scores = np.zeros((len(self.records), count, 2)), np.zeros((len(self.records), count))
        index, found, confidences = self._found()
        self.false_alarms = []
        for number, records in enumerate(photographs):
            mine = np.flatnonzero(index == number)
            positions = [order[id(record)] for record in records]
            for pose, animal in _pairs(self._similarities(found[mine], positions)):
                keypoints[positions[animal]], scores[positions[animal]] = found[mine[pose]], confidences[mine[pose]]
                mine[pose] = -1
            rest = mine[mine >= 0]
            self.false_alarms += pose_results([records[0].image_id] * len(rest), found[rest], confidences[rest])
        return Poses(self.records, keypoints, scores, self.areas)

    @override
    def _coco_metrics(self, poses: Poses) -> dict[str, float]:
        index, keypoints, scores = self._found()
        results = [
            result | {"score": float(confidences.mean())}
            for result, confidences in zip(pose_results(index.tolist(), keypoints, scores), scores, strict=True)
        ]
        if not results:
            return dict.fromkeys(NAMES, 0.0)
        photographs = group_by_photograph(self.records)
        numbers = {id(record): number for number, records in enumerate(photographs) for record in records}
        truth = ground_truth(self.records, [numbers[id(record)] for record in self.records], self.areas)
        return coco_keypoint_metrics(truth, results, self.skeleton.sigmas)

    def _found(self) -> tuple[Floats, Floats, Floats]:
        """Return photographs [N], keypoints [N, K, 2] and confidences [N, K], each once for all processes."""
        index, keypoints, scores = joined(self.index), joined(self.keypoints), joined(self.scores)
        count = len(self.skeleton)
        poses = np.concatenate([keypoints, scores[..., None]], axis=-1).reshape(len(index), 3 * count)
        once = np.unique(np.column_stack([index, poses]), axis=0)
        values = once[:, 1:].reshape(len(once), count, 3)
        return once[:, 0].astype(int), values[..., :2], values[..., 2]

    def _similarities(self, found: Floats, positions: list[int]) -> Floats:
        """Return the OKS [P, A] of poses [P, K, 2] and the animals at these positions."""
        records = [self.records[position] for position in positions]
        truth, visible = np.array([one.keypoints for one in records]), np.array([one.visible for one in records])
        distances = np.linalg.norm(found[:, None] - truth[None], axis=-1)
        rows = [oks(one, visible, self.areas[positions], self.skeleton.sigmas) for one in distances]
        return np.array(rows).reshape(len(found), len(records))


def _pairs(similarities: Floats) -> list[tuple[int, int]]:
    """Return pairs of poses and animals, the most alike first; each takes part once, and what is not alike not."""
    pairs: list[tuple[int, int]] = []
    left = similarities.copy()
    while left.size and left.max() > 0:
        pose, animal = np.unravel_index(left.argmax(), left.shape)
        pairs.append((int(pose), int(animal)))
        left[pose], left[:, animal] = 0, 0
    return pairs
