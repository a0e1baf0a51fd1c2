"""Everything that can be said of a run's poses on its validation set, for evaluation.json."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lynx_pose.arrays import Floats
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.light import light_of
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.evaluation.group_metrics import group_metrics, metrics_by_field
from lynx_pose.metrics.average_precision import mean_share_above
from lynx_pose.metrics.object_scale import annotated_area, box_area, polygon_area
from lynx_pose.metrics.oks import correction_effect, log_oks, oks, reference_scale, share_scale
from lynx_pose.metrics.pck import check_thresholds, correct_predictions, limb_lengths, pck, pcp
from lynx_pose.metrics.sides import compare_sides
from lynx_pose.metrics.validation_metric import Poses

Metrics = dict[str, Any]
SIZES = ("small", "medium", "large")
# By what animals can be grouped.
GROUPS = ("species", "identity", "place", "sequence", "light", "orientation", "coat_pattern", "size")


class DetailedMetrics:
    """Computes the metrics.

    Args:
        pixels: thresholds of PCK in pixels.
        box_shares: thresholds of PCK in fractions of the box's longer side.
        limbs: by name of the metric, the `ends` of the limb that is its unit, and its `thresholds`. A skeleton
            without those keypoints goes without the metric.
        pcp_share: of a limb's length, for PCP.
        predictions: thresholds in pixels of the share of wholly correct poses.
        size_limits: fractions of the dataset's largest box that divide small, medium and large animals.
        corrections: factors c of the OKS variants.
        groups: fields of records, `size` and `light`, by whose values the metrics are given.
        fewest: animals that a group needs.
        resamples: for the intervals of each group.
    """

    def __init__(
        self,
        pixels: Sequence[float],
        box_shares: Sequence[float],
        limbs: Mapping[str, Mapping[str, Any]],
        pcp_share: float,
        predictions: Sequence[float],
        size_limits: Sequence[float],
        corrections: Sequence[float],
        groups: Sequence[str],
        fewest: int,
        resamples: int,
    ):
        check_thresholds("detail.pixels", pixels)
        check_thresholds("detail.box_shares", box_shares)
        check_thresholds("detail.predictions", predictions)
        check_thresholds("detail.corrections", corrections)
        check_thresholds("detail.size_limits", size_limits)
        for name, limb in limbs.items():
            check_thresholds(f"detail.limbs.{name}.thresholds", limb["thresholds"])
        if len(size_limits) != 2:
            raise InputError(f"detail.size_limits={list(size_limits)}: must be two, below medium and below large")
        self.pixels, self.box_shares, self.limbs = pixels, box_shares, limbs
        self.pcp_share, self.predictions = pcp_share, predictions
        self.size_limits, self.corrections = size_limits, corrections
        self.groups, self.fewest, self.resamples = groups, fewest, resamples
        for field in groups:
            if field not in GROUPS:
                raise InputError(f"detail.groups: there is no field {field!r}; there are {', '.join(GROUPS)}")

    def __call__(
        self,
        poses: Poses,
        skeleton: Skeleton,
        all_records: Sequence[PoseRecord],
        clusters: Sequence[str] | None = None,
    ) -> Metrics:
        """Compute them.

        Args:
            poses: of N animals.
            skeleton: of the poses.
            all_records: of the dataset, which tell its largest box and usual image.
            clusters: [N], what intervals draw as a whole; None draws images.
        """
        none = [None] * len(poses.records)
        return {
            "animals": len(poses.records),
            "ranked": poses.ranked,
            "intervals_over": "images" if clusters is None else "groups that the split keeps together",
            "all": group_metrics(poses, none, skeleton, self.resamples, clusters)["all"],
            "AP_by_object_scale": _by_scale(poses, skeleton),
            "by_group": metrics_by_field(
                poses, self._groups(poses, all_records), skeleton, self.resamples, clusters, self.fewest
            ),
            "by_keypoint": by_keypoint(poses, skeleton),
            "by_visibility": by_visibility(poses),
            "coco": poses.coco_metrics(skeleton.sigmas),
            "AP_eq18": mean_share_above(poses.oks(skeleton.sigmas)),
            "by_size": self._by_size(poses, skeleton, float(box_area(all_records).max())),
            "PCK": self._pck(poses, skeleton),
            "PCP": self._pcp(poses, skeleton),
            "correct_predictions": _paired(
                self.predictions, correct_predictions(poses.distances, poses.visible, self.predictions)
            ),
            "OKS": self._oks(poses, skeleton, all_records),
            "sides": _sides(poses, skeleton),
        }

    def _groups(self, poses: Poses, all_records: Sequence[PoseRecord]) -> dict[str, list[str | None]]:
        """Return the group of each animal by field; the light is measured where the dataset does not say it."""
        groups: dict[str, list[str | None]] = {}
        for field in self.groups:
            if field == "size":
                limits = np.array(self.size_limits) * float(box_area(all_records).max())
                groups[field] = [SIZES[n] for n in np.searchsorted(limits, box_area(poses.records), side="right")]
            elif field == "light":
                groups[field] = [*light_of(poses.records)]
            else:
                groups[field] = [getattr(record, field) for record in poses.records]
        return groups

    def _by_size(self, poses: Poses, skeleton: Skeleton, largest: float) -> Metrics:
        """Return AP, AP by Equation 18 and AR of the animals of each size, each size on its own."""
        sizes = np.searchsorted(np.array(self.size_limits) * largest, box_area(poses.records), side="right")
        limits = [round(share * largest) for share in self.size_limits]
        metrics: Metrics = {"limits_in_square_pixels": limits}
        for number, name in enumerate(SIZES):
            part = poses.subset(sizes == number)
            count = len(part.records)
            coco = part.coco_metrics(skeleton.sigmas) if count else {"AP": None, "AR": None}
            eq18 = mean_share_above(part.oks(skeleton.sigmas)) if count else None
            metrics[name] = {"animals": count, "AP": coco["AP"], "AP_eq18": eq18, "AR": coco["AR"]}
        return metrics

    def _pck(self, poses: Poses, skeleton: Skeleton) -> Metrics:
        box_sides = np.array([max(record.box[2:]) for record in poses.records])
        units: list[tuple[str, Floats, Sequence[float]]] = [
            ("pixels", np.ones(len(poses.records)), self.pixels),
            ("box", box_sides, self.box_shares),
        ]
        for name, limb in self.limbs.items():
            if all(end in skeleton.names for end in limb["ends"]):
                start, end = (skeleton.names.index(end) for end in limb["ends"])
                units.append((name, limb_lengths(poses.truth, poses.visible, (start, end)), limb["thresholds"]))
        return {name: _pck_table(poses, skeleton, unit, thresholds) for name, unit, thresholds in units}

    def _pcp(self, poses: Poses, skeleton: Skeleton) -> Metrics:
        shares = pcp(poses.distances, poses.truth, poses.visible, skeleton.limbs, self.pcp_share)
        names = [f"{skeleton.names[start]}-{skeleton.names[end]}" for start, end in skeleton.limbs]
        return {"share": self.pcp_share, "limbs": _paired(names, shares), "mean": _mean(shares)}

    def _oks(self, poses: Poses, skeleton: Skeleton, all_records: Sequence[PoseRecord]) -> Metrics:
        images = np.array([np.prod(record.image_size, dtype=np.float64) for record in poses.records])
        sizes = {record.image_id: np.prod(record.image_size, dtype=np.float64) for record in all_records}
        reference = float(np.median(list(sizes.values())))
        distances, visible, sigmas = poses.distances, poses.visible, skeleton.sigmas
        by_share = share_scale(poses.areas, images, 1.0)
        by_reference = reference_scale(poses.areas, images, reference)
        return {
            "reference_square_pixels": reference,
            "mean_eq13": float(poses.oks(sigmas).mean()),
            "mean_eq15": float(oks(distances, visible, by_reference, sigmas).mean()),
            "mean_log_eq14": float(log_oks(distances, visible, by_share, sigmas).mean()),
            "correction": [
                {"c": a.correction, "eq14": [a.nonzero, a.mean], "eq15": [b.nonzero, b.mean]}
                for a, b in zip(
                    correction_effect(distances, visible, by_share, sigmas, self.corrections),
                    correction_effect(distances, visible, by_reference, sigmas, self.corrections),
                    strict=True,
                )
            ],
        }


def _by_scale(poses: Poses, skeleton: Skeleton) -> Metrics:
    """Return AP with each measure of the animal's size that the records have: it decides as much as the poses do."""
    scales = {"annotated": annotated_area, "box": box_area, "polygon": polygon_area}
    if any(len(record.polygon) < 6 for record in poses.records):
        del scales["polygon"]
    found = {name: replace(poses, areas=area(poses.records)) for name, area in scales.items()}
    return {name: scaled.coco_metrics(skeleton.sigmas)["AP"] for name, scaled in found.items()}


def by_keypoint(poses: Poses, skeleton: Skeleton) -> Metrics:
    """Return of each keypoint how many are annotated, its median error in pixels, and PCK at 0.05 of the box."""
    longer = np.array([max(record.box[2:]) for record in poses.records])
    found = {}
    for number, name in enumerate(skeleton.names):
        seen = poses.visible[:, number]
        errors, near = poses.distances[seen, number], poses.distances[seen, number] <= 0.05 * longer[seen]
        if len(errors):
            shown = {"median_error_px": float(np.median(errors)), "PCK@0.05": float(near.mean())}
            found[name] = {"annotated": len(errors)} | shown
    return found


def by_visibility(poses: Poses) -> Metrics:
    """Return the median error and PCK of visible and of occluded keypoints, where the dataset tells them apart."""
    occluded = np.array([record.occluded for record in poses.records])
    longer = np.array([max(record.box[2:]) for record in poses.records])[:, None]
    found = {}
    for name, chosen in (("visible", poses.visible & ~occluded), ("occluded", poses.visible & occluded)):
        if chosen.any():
            near = (poses.distances <= 0.05 * longer)[chosen]
            median = float(np.median(poses.distances[chosen]))
            found[name] = {"annotated": int(chosen.sum()), "median_error_px": median, "PCK@0.05": float(near.mean())}
    return found


def _sides(poses: Poses, skeleton: Skeleton) -> Metrics:
    """Return how many pairs of left and right are exchanged, or predicted in one place."""
    sides = compare_sides(poses, skeleton)
    names = [f"{skeleton.names[left]}-{skeleton.names[right]}" for left, right in skeleton.pairs]
    return {"all": sides.shares(), "pairs": {name: sides.shares(number) for number, name in enumerate(names)}}


def _pck_table(poses: Poses, skeleton: Skeleton, unit: Floats, thresholds: Sequence[float]) -> dict[str, Metrics]:
    """Return by threshold: the keypoints' shares, and their mean."""
    shares = pck(poses.distances, poses.visible, unit, thresholds)
    return {
        f"{threshold:g}": {"mean": _mean(row), "keypoints": _paired(skeleton.names, row)}
        for threshold, row in zip(thresholds, shares, strict=True)
    }


def _mean(shares: Floats) -> float | None:
    known = shares[np.isfinite(shares)]
    return float(known.mean()) if known.size else None


def _paired(names: Sequence[float | str], values: Floats) -> dict[str, float | None]:
    """Pair names with numbers; what cannot be computed is null."""
    keys = [name if isinstance(name, str) else f"{name:g}" for name in names]
    return {key: float(value) if np.isfinite(value) else None for key, value in zip(keys, values, strict=True)}
