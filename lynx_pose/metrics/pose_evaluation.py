"""The validation metric: collects poses by instance, across processes, and computes all figures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from lynx_pose.data.records import PoseRecord
from lynx_pose.metrics.average_precision import coco_keypoint_figures, mean_share_above
from lynx_pose.metrics.coco_results import pose_results
from lynx_pose.metrics.object_scale import annotated_area
from lynx_pose.metrics.oks import oks


@dataclass(frozen=True, eq=False)
class Poses:
    """Predicted poses of N records: keypoints [N, K, 2] in image pixels and confidences [N, K].

    Args:
        records: the animals.
        keypoints: [N, K, 2] in image pixels.
        scores: [N, K] confidences.
        areas: [N] squared object scales, as OKS takes them.
    """

    records: Sequence[PoseRecord]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float64]
    areas: NDArray[np.float64]

    @property
    def truth(self) -> NDArray[np.float64]:
        """Annotated keypoints [N, K, 2] in image pixels."""
        return np.array([record.keypoints for record in self.records])

    @property
    def visible(self) -> NDArray[np.bool_]:
        """[N, K], true where annotated."""
        return np.array([record.visible for record in self.records])

    @property
    def distances(self) -> NDArray[np.float64]:
        """[N, K] in image pixels; meaningless where not annotated."""
        return np.asarray(np.linalg.norm(self.keypoints - self.truth, axis=-1))

    def oks(self, sigmas: Sequence[float]) -> NDArray[np.float64]:
        """[N] object keypoint similarity (Equation 13 of the thesis)."""
        return oks(self.distances, self.visible, self.areas, sigmas)

    def subset(self, chosen: NDArray[np.bool_]) -> Poses:
        """The poses where `chosen` [N] is true."""
        records = [record for record, kept in zip(self.records, chosen, strict=True) if kept]
        return Poses(records, self.keypoints[chosen], self.scores[chosen], self.areas[chosen])


class PoseEvaluation(Metric):
    """AP, AR and distances of poses in image pixels.

    Each instance counts once, however many processes saw it, so the figures do not depend on their number.

    Args:
        records: the validation records; `update` refers to them by position.
        sigmas: K OKS sigmas.
        areas: [N] squared object scales of the records; None takes those of the annotations.
    """

    full_state_update = False
    index: list[Tensor]
    keypoints: list[Tensor]
    scores: list[Tensor]

    def __init__(
        self, records: Sequence[PoseRecord], sigmas: Sequence[float], areas: NDArray[np.float64] | None = None
    ):
        super().__init__()
        self.records = records
        self.areas = annotated_area(records) if areas is None else areas
        self.sigmas = tuple(sigmas)
        self.poses: Poses | None = None
        for state in ("index", "keypoints", "scores"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, keypoints: Tensor, scores: Tensor) -> None:
        """Add poses.

        Args:
            index: [B] positions of the records.
            keypoints: [B, K, 2] in image pixels.
            scores: [B, K] confidences.
        """
        self.index.append(index)
        self.keypoints.append(keypoints.double())
        self.scores.append(scores.double())

    def _poses(self) -> Poses:
        """Return what was collected, once an instance and in the records' order."""
        arrays = [_concatenated(state) for state in (self.index, self.keypoints, self.scores)]
        order = np.unique(arrays[0], return_index=True)[1]
        records = [self.records[position] for position in arrays[0][order]]
        return Poses(records, arrays[1][order], arrays[2][order], self.areas[arrays[0][order]])

    def compute(self) -> dict[str, float]:
        """Return COCO's AP, AP50, AP75 and AR, AP by Equation 18 of the thesis, and distances in image pixels.

        The distances are mean and median over all visible keypoints of all animals.

        Raises:
            ValueError: AP cannot be computed; the message says why.
        """
        self.poses = poses = self._poses()
        figures = coco_figures(poses, self.sigmas)
        distances = poses.distances[poses.visible]
        return {name: figures[name] for name in ("AP", "AP50", "AP75", "AR")} | {
            "AP_eq18": mean_share_above(poses.oks(self.sigmas)),
            "mean_error_px": float(distances.mean()),
            "median_error_px": float(np.median(distances)),
        }

    def results(self) -> list[dict[str, Any]]:
        """Return the poses of the last `compute` in COCO results format, under the dataset's own image ids."""
        assert self.poses is not None, "compute() comes first"
        records = self.poses.records
        results = pose_results([record.image_id for record in records], self.poses.keypoints, self.poses.scores)
        return [result | {"instance": record.id} for result, record in zip(results, records, strict=True)]


def _concatenated(state: list[Tensor] | Tensor) -> NDArray[Any]:
    """Join a state that is a list on one process and one tensor after merging several."""
    return (state if isinstance(state, Tensor) else torch.cat(state)).cpu().numpy()


def coco_figures(poses: Poses, sigmas: Sequence[float]) -> dict[str, float]:
    """Return the ten COCO keypoint figures of poses.

    Raises:
        ValueError: they cannot be computed; the message says why.
    """
    # Image ids may be words, which the evaluator cannot read: number the photographs.
    names = {record.image_id: number for number, record in enumerate(poses.records)}
    numbers = [names[record.image_id] for record in poses.records]
    results = pose_results(numbers, poses.keypoints, poses.scores)
    return coco_keypoint_figures(ground_truth(poses.records, numbers, poses.areas), results, sigmas)


def ground_truth(records: Sequence[PoseRecord], image_ids: Sequence[int], areas: NDArray[np.float64]) -> dict[str, Any]:
    """Return records in COCO keypoint format, one image id and squared scale each; equal ids are one photograph."""
    annotations = []
    for number, (record, image_id, area) in enumerate(zip(records, image_ids, areas, strict=True), start=1):
        points = np.concatenate([record.keypoints, 2.0 * record.visible[:, None]], axis=1)
        annotations.append(
            {
                "id": number,
                "image_id": image_id,
                "category_id": 1,
                "bbox": record.box.tolist(),
                "area": float(area),
                "iscrowd": 0,
                "num_keypoints": int(record.visible.sum()),
                "keypoints": points.ravel().tolist(),
            }
        )
    return {
        "images": [{"id": image_id} for image_id in dict.fromkeys(image_ids)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "animal"}],
    }
