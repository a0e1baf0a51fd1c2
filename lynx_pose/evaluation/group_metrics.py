"""AP, PCK and median error of groups of animals, each with the interval that its images leave."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lynx_pose.arrays import AnyArray, Floats
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.metrics.bootstrap import image_positions, match_poses, resample_images, resampled_ap
from lynx_pose.metrics.validation_metric import Poses

PCK_SHARES = (0.05, 0.1)


def group_metrics(
    poses: Poses, groups: Sequence[str | None], skeleton: Skeleton, resamples: int
) -> dict[str, dict[str, Any]]:
    """Compute the metrics of each group and, as `all`, of all animals.

    Args:
        poses: of N animals.
        groups: [N] names, such as species; None where unknown.
        skeleton: of the poses, with OKS sigmas.
        resamples: of the bootstrap over images.

    Returns:
        By group: `animals`, `images`, and of each metric the value and the ends of its 95 % interval.
    """
    parts = {"all": poses}
    for name in sorted({group for group in groups if group is not None}):
        parts[name] = poses.subset(np.array([group == name for group in groups]))
    return {name: _metrics(part, skeleton, resamples) for name, part in parts.items()}


def _metrics(poses: Poses, skeleton: Skeleton, resamples: int) -> dict[str, Any]:
    places = image_positions(poses)
    counts = resample_images(poses, resamples)
    # The sample itself comes first.
    counts = np.concatenate([np.ones((1, counts.shape[1]), dtype=counts.dtype), counts])
    longer = np.array([max(record.box[2:]) for record in poses.records])[:, None]
    labelled = np.bincount(places, poses.visible.sum(axis=1))
    metrics: dict[str, Any] = {"animals": len(poses.records), "images": counts.shape[1]}
    metrics["AP"] = _estimate(resampled_ap(match_poses(poses, skeleton.sigmas), counts))
    for share in PCK_SHARES:
        hits = ((poses.distances <= share * longer) & poses.visible).sum(axis=1)
        metrics[f"PCK@{share:.2f}"] = _estimate((counts @ np.bincount(places, hits)) / (counts @ labelled))
    metrics["median_error_px"] = _estimate(_medians(poses, places, counts))
    return metrics


def _medians(poses: Poses, places: AnyArray, counts: AnyArray) -> Floats:
    """Return the median error in each resample: the error at which half of its points are reached."""
    rows, columns = np.nonzero(poses.visible)
    errors = poses.distances[rows, columns]
    order = np.argsort(errors)
    weights = np.cumsum(counts[:, places[rows[order]]], axis=1)
    middle = (2 * weights >= weights[:, -1:]).argmax(axis=1)
    return np.asarray(errors[order][middle])


def _estimate(values: Floats) -> dict[str, float]:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}
