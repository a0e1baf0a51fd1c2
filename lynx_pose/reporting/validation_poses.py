"""The runs' poses on the validation set, beside its annotations."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.errors import InputError
from lynx_pose.evaluation.saved_poses import read_poses
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.run_results import Run
from lynx_pose.training.build import read_annotations

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

    def of(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs whose poses are here."""
        return [run for run in runs if run in self]

    def best_of(self, runs: Sequence[Run]) -> Run | None:
        """Return the run with the highest AP of those whose poses are here; None without any."""
        return max((run for run in self.of(runs) if run.best), key=lambda run: run.best["AP"], default=None)


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
        poses = {run.folder.path: read_poses(run.config, run.folder.predictions, annotations) for run in finished}
    except InputError as error:
        log.warning("the report has tables and curves of AP only: %s", error)
        return None
    animals = [record.id for record in poses[finished[0].folder.path].records]
    same = {path: own for path, own in poses.items() if [record.id for record in own.records] == animals}
    for path in poses.keys() - same.keys():
        log.warning("%s: validated on other animals than %s; left out of what compares poses", path, finished[0].label)
    return Validation(annotations, same)
