"""Poses that a run wrote while it trained, read again with the animals that they belong to."""

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from lynx_pose.data.annotations import Annotations
from lynx_pose.errors import InputError
from lynx_pose.files import read_json
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.training.build import object_areas


def read_poses(config: DictConfig, file: Path, annotations: Annotations) -> Poses:
    """Read a run's poses and find their animals.

    Args:
        config: of the run.
        file: predictions.json, or one of an epoch.
        annotations: of the run's dataset.

    Raises:
        InputError: the file is damaged, or names an animal that the dataset does not have.
    """
    # A network that finds the animals by itself has false alarms, which are of no animal.
    results: list[dict[str, Any]] = [result for result in read_json(file) if result["instance"] is not None]
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
    return Poses(records, values[..., :2], values[..., 2], object_areas(config, records))
