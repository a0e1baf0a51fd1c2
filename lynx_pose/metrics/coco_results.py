"""Poses in COCO's results format (https://cocodataset.org/#format-results); without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# MMPose leaves keypoints of a lower confidence out of a pose's score.
SCORE_THRESHOLD = 0.2


def pose_score(scores: NDArray[np.float64]) -> float:
    """Return a pose's score: the mean confidence [K] of its keypoints above the threshold, else 0."""
    confident = scores[scores > SCORE_THRESHOLD]
    return float(confident.mean()) if confident.size else 0.0


def pose_results(
    image_ids: Sequence[int | str], keypoints: NDArray[np.float64], scores: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Return N poses [N, K, 2] with confidences [N, K] in COCO results format."""
    rows = np.concatenate([keypoints, scores[..., None]], axis=-1).reshape(len(keypoints), -1)
    return [
        {"image_id": image_id, "category_id": 1, "keypoints": row.tolist(), "score": pose_score(confidences)}
        for image_id, row, confidences in zip(image_ids, rows, scores, strict=True)
    ]
