"""Average precision of poses: COCO's (https://cocodataset.org/#keypoints-eval), and the thesis's definition."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from lynx_pose.arrays import Floats

# 0.50:0.05:0.95, as COCO's evaluator has them.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
NAMES = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")


def coco_keypoint_metrics(
    ground_truth: dict[str, Any], results: Sequence[dict[str, Any]], sigmas: Sequence[float]
) -> dict[str, float]:
    """Compute the ten COCO keypoint metrics, equal to pycocotools'.

    Args:
        ground_truth: content of a COCO keypoint file; `area` is the squared object scale.
        results: content of a COCO keypoint results file.
        sigmas: K standard deviations of annotation.

    Returns:
        Metrics by name in [0, 1]. One over a size range that holds no animal is NaN.

    Raises:
        ValueError: there is no ground truth, or no result, to compute anything from; it says which.
    """
    if not any(annotation["num_keypoints"] for annotation in ground_truth["annotations"]):
        raise ValueError("AP cannot be computed: no animal of the ground truth has a visible keypoint")
    if not results:
        raise ValueError("AP cannot be computed: there is not a single prediction")
    if not np.isfinite([result["keypoints"] for result in results]).all():
        raise ValueError(
            "AP cannot be computed: predicted coordinates are not finite; training has diverged. Lower optimizer.lr"
        )
    truth = COCO(ground_truth)
    evaluation = COCOeval_faster(
        truth, truth.loadRes(list(results)), "keypoints", kpt_oks_sigmas=list(sigmas), print_function=lambda *_: None
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # COCO writes −1 where a size range is empty; a mean over such numbers would be nonsense, NaN shows it.
    return {
        name: float(value) if value >= 0 else float("nan")
        for name, value in zip(NAMES, evaluation.stats[: len(NAMES)], strict=True)
    }


def mean_share_above(oks: Floats) -> float:
    """Compute Equations 17 and 18 of the thesis: the share of poses above each OKS threshold, and its mean.

    It knows neither scores nor false alarms, so it is not COCO's AP: with one prediction for each animal it is
    COCO's average recall, but for values that equal a threshold.

    Args:
        oks: [N] of each predicted pose and its own animal.
    """
    return float((oks[:, None] > THRESHOLDS).mean())
