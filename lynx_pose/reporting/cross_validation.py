"""The folds of a cross-validation, joined: every animal once, by the network that was not trained on it."""

import logging
from collections.abc import Sequence

import numpy as np

from lynx_pose.data.annotations import Annotations
from lynx_pose.errors import InputError
from lynx_pose.evaluation.group_metrics import group_metrics
from lynx_pose.evaluation.saved_poses import read_poses
from lynx_pose.evaluation.validate import clusters_of
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.tables import Cell, Row, Table, estimate_cells, heading
from lynx_pose.training.build import read_annotations

log = logging.getLogger(__name__)
RESAMPLES = 1000
COLUMNS = ("AP", "PCK@0.05", "PCK@0.10", "median_error_px")


def cross_validation_table(runs: Sequence[Run]) -> Table | None:
    """Join the folds of each row, augmentation and seed; None where no cross-validation is complete.

    The intervals resample what the split keeps together, such as individuals or places, where the dataset knows it.
    """
    folds = [run for run in runs if run.fold is not None and run.completed and run.folder.predictions.is_file()]
    if not folds:
        return None
    try:
        annotations = read_annotations(folds[0].config)
        rows = [_row(name, joined, annotations) for name, joined in _complete(folds).items()]
    except InputError as error:
        log.warning("the report has no table of the cross-validation: %s", error)
        return None
    split, count = folds[0].config.data.split, folds[0].config.data.folds
    note = (
        f"{count} folds by data.split={split}: each animal is found by the network that was not trained on its part, "
        "at the epoch that was best on that part, so figures are a little too good. 95 % intervals over what the split "
        "keeps together."
    )
    columns = ("folds", "animals", "groups", *map(heading, COLUMNS))
    return Table("cross_validation", "Cross-validation", columns, tuple(rows), note) if rows else None


def _complete(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each cross-validation all of whose folds are there, by its name in the table."""
    found: dict[str, dict[int, Run]] = {}
    for run in runs:
        assert run.fold is not None, "chosen for it"
        found.setdefault(f"{run.row}, {run.augmentation}, seed {run.seed}", {})[run.fold] = run
    for name, folds in found.items():
        if missing := sorted(set(range(runs[0].config.data.folds)) - set(folds)):
            log.warning("%s: fold %s is missing; not in the table", name, ", ".join(map(str, missing)))
    return {name: list(folds.values()) for name, folds in found.items() if len(folds) == runs[0].config.data.folds}


def _row(name: str, runs: Sequence[Run], annotations: Annotations) -> Row:
    parts = [read_poses(run.config, run.folder.predictions, annotations) for run in runs]
    poses = Poses(
        [record for part in parts for record in part.records],
        *(np.concatenate([getattr(part, values) for part in parts]) for values in ("keypoints", "scores", "areas")),
    )
    clusters = clusters_of(runs[0].config, poses.records)
    found = group_metrics(poses, [None] * len(poses.records), annotations.skeleton, RESAMPLES, clusters)["all"]
    counts = (len(runs), found["animals"], found.get("clusters", found["images"]))
    return Row(name, (*(Cell(str(count), count) for count in counts), *estimate_cells(found, COLUMNS)))
