"""The runs' poses on the validation set, beside its annotations."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.errors import InputError
from lynx_pose.files import read_json
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.run_results import Run
from lynx_pose.training.build import object_areas, read_annotations

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """Annotations, and the best epoch's poses of the runs that all validated on the same animals.

    Args:
        annotations: of the dataset.
        poses: by folder of the run, in the same order of animals.
    """

    annotations: Annotations
    poses: Mapping[Path, Poses]

    def __contains__(self, run: Run) -> bool:
        return run.folder.path in self.poses

    def __getitem__(self, run: Run) -> Poses:
        return self.poses[run.folder.path]

    @property
    def records(self) -> Sequence[PoseRecord]:
        """The animals, in the order of all poses."""
        return next(iter(self.poses.values())).records


def read_validation(runs: Sequence[Run]) -> Validation | None:
    """Read what the runs predicted.

    Returns None, and says so, where the dataset is not on this machine any more; runs with other validation
    animals than the first are left out, and said to be. Of a cross-validation the first fold stands for all.
    """
    finished = [run for run in runs if run.completed and run.folder.predictions.is_file()]
    if not finished:
        return None
    finished = [run for run in finished if run.fold == finished[0].fold]
    try:
        annotations = read_annotations(finished[0].config)
        poses = {run.folder.path: read_poses(run, run.folder.predictions, annotations) for run in finished}
    except InputError as error:
        log.warning("the report has tables and curves of AP only: %s", error)
        return None
    animals = [record.id for record in poses[finished[0].folder.path].records]
    same = {path: own for path, own in poses.items() if [record.id for record in own.records] == animals}
    for path in poses.keys() - same.keys():
        log.warning("%s: validated on other animals than %s; left out of what compares poses", path, finished[0].label)
    return Validation(annotations, same)


def read_poses(run: Run, file: Path, annotations: Annotations) -> Poses:
    """Read a run's poses and find their animals.

    Raises:
        InputError: the file is damaged, or names an animal that the dataset does not have.
    """
    results: list[dict[str, Any]] = read_json(file)
    by_id = {record.id: record for record in annotations.records}
    unknown = [result["instance"] for result in results if result["instance"] not in by_id]
    if unknown:
        raise InputError(f"{file}: {unknown[0]} is not in the dataset any more")
    values = np.array([np.reshape(result["keypoints"], (-1, 3)) for result in results], dtype=np.float64)
    if values.shape[1] != len(annotations.skeleton):
        raise InputError(
            f"{file}: has {values.shape[1]} keypoints an animal, the dataset {len(annotations.skeleton)}; the run was "
            "trained on another skeleton"
        )
    records = [by_id[result["instance"]] for result in results]
    return Poses(records, values[..., :2], values[..., 2], object_areas(run.config, records))
