"""AP, PCK and median error of groups of animals, each with the interval that its images leave."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lynx_pose.arrays import AnyArray, Floats, Mask
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.metrics.bootstrap import image_positions, match_poses, resample_images, resampled_ap
from lynx_pose.metrics.sides import side_shares
from lynx_pose.metrics.validation_metric import Poses

PCK_SHARES = (0.05, 0.1)


def group_metrics(
    poses: Poses,
    groups: Sequence[str | None],
    skeleton: Skeleton,
    resamples: int,
    clusters: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Compute the metrics of each group and, as `all`, of all animals.

    Args:
        poses: of N animals.
        groups: [N] names, such as species; None where unknown.
        skeleton: of the poses, with OKS sigmas.
        resamples: of the bootstrap.
        clusters: [N], as for `resample_images`.

    Returns:
        By group: `animals`, `images`, and of each metric the value and the ends of its 95 % interval, which are None
        where a group is one image, or one of the clusters.
    """
    parts = {"all": np.ones(len(groups), dtype=bool)}
    for name in sorted({group for group in groups if group is not None}):
        parts[name] = np.array([group == name for group in groups])
    return {name: _metrics(poses, chosen, skeleton, resamples, clusters) for name, chosen in parts.items()}


def metrics_by_field(
    poses: Poses,
    fields: Mapping[str, Sequence[str | None]],
    skeleton: Skeleton,
    resamples: int,
    clusters: Sequence[str] | None,
    fewest: int,
) -> dict[str, dict[str, Any]]:
    """Compute the metrics of every group of each field, and name the worst.

    Args:
        poses: of N animals.
        fields: by name, such as `place`, the group [N] of each animal; None where unknown.
        skeleton: of the poses.
        resamples: as for `group_metrics`.
        clusters: as for `group_metrics`.
        fewest: animals of a group; of smaller ones the metrics would say little.

    Returns:
        By field: `groups`, as `group_metrics` without `all`; `worst`, the name of the group with the lowest AP; and
        `too_small`, how many animals are in groups of fewer. A field with less than two groups is left out.
    """
    found = {}
    for field, groups in fields.items():
        counts = Counter(group for group in groups if group is not None)
        large = {name for name, count in counts.items() if count >= fewest}
        if len(large) < 2:
            continue
        kept = [group if group in large else None for group in groups]
        metrics = group_metrics(poses, kept, skeleton, resamples, clusters)
        del metrics["all"]
        worst = min(metrics, key=lambda name: metrics[name]["AP"]["value"])
        small = sum(count for name, count in counts.items() if name not in large)
        found[field] = {"groups": metrics, "worst": worst, "too_small": small}
    return found


def _metrics(
    everyone: Poses, chosen: Mask, skeleton: Skeleton, resamples: int, clusters: Sequence[str] | None
) -> dict[str, Any]:
    poses = everyone.subset(chosen)
    own = None if clusters is None else [name for name, kept in zip(clusters, chosen, strict=True) if kept]
    places = image_positions(poses)
    counts = resample_images(poses, resamples, own)
    # The sample itself comes first.
    counts = np.concatenate([np.ones((1, counts.shape[1]), dtype=counts.dtype), counts])
    longer = np.array([max(record.box[2:]) for record in poses.records])[:, None]
    labelled = np.bincount(places, poses.visible.sum(axis=1))
    metrics: dict[str, Any] = {"animals": len(poses.records), "images": counts.shape[1]}
    if own is not None:
        metrics["clusters"] = len(set(own))
    # One image, or one place where places are drawn, tells nothing of others.
    if metrics.get("clusters", metrics["images"]) == 1:
        counts = counts[:1]
    metrics["AP"] = _estimate(resampled_ap(match_poses(poses, skeleton.sigmas), counts))
    for share in PCK_SHARES:
        hits = ((poses.distances <= share * longer) & poses.visible).sum(axis=1)
        # A resample may have drawn nothing that is labelled.
        shares = (counts @ np.bincount(places, hits)) / np.maximum(counts @ labelled, 1)
        metrics[f"PCK@{share:.2f}"] = _estimate(shares)
    metrics["median_error_px"] = _estimate(_medians(poses, places, counts))
    metrics["sides"] = side_shares(poses, skeleton)
    return metrics


def _medians(poses: Poses, places: AnyArray, counts: AnyArray) -> Floats:
    """Return the median error in each resample: the error at which half of its points are reached."""
    rows, columns = np.nonzero(poses.visible)
    errors = poses.distances[rows, columns]
    order = np.argsort(errors)
    weights = np.cumsum(counts[:, places[rows[order]]], axis=1)
    middle = (2 * weights >= weights[:, -1:]).argmax(axis=1)
    return np.asarray(errors[order][middle])


def _estimate(values: Floats) -> dict[str, float | None]:
    """Return a metric of the sample, which comes first, and the ends of its interval; None where there is none."""
    if len(values) == 1:
        return {"value": float(values[0]), "low": None, "high": None}
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}
