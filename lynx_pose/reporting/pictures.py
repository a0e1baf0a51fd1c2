"""Validation photographs with ground truth beside each run's pose."""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lynx_pose.building import read_annotations
from lynx_pose.data.crop import CropBox, classic_matrix, crop_box, transform_points, warp
from lynx_pose.data.image import read_checked
from lynx_pose.data.records import PoseRecord
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.reporting.runs import Run
from lynx_pose.run_folder import read_json_file
from lynx_pose.visualization.draw import draw_pose

log = logging.getLogger(__name__)
SIDE = 256
# As MMPose draws: keypoints of a lower confidence are left out.
SHOWN_FROM = 0.2


@dataclass(frozen=True)
class Picture:
    """A drawn crop.

    Args:
        caption: ground truth, or the run.
        data: base64 of a JPEG.
    """

    caption: str
    data: str


@dataclass(frozen=True)
class PictureRow:
    """One animal: its photograph's name, and its pictures, ground truth first."""

    title: str
    pictures: tuple[Picture, ...]


def picture_rows(runs: Sequence[Run], count: int) -> list[PictureRow]:
    """Draw animals that all runs have validated on, spread over the validation set.

    Returns an empty list, and says so, where the photographs are not on this machine any more.
    """
    finished = [run for run in runs if run.folder.predictions.is_file()]
    if not finished:
        return []
    try:
        annotations = read_annotations(finished[0].config)
        predictions = [_by_instance(run) for run in finished]
        shared = [record for record in annotations.records if all(record.id in poses for poses in predictions)]
        chosen = [shared[round(place)] for place in np.linspace(0, len(shared) - 1, min(count, len(shared)))]
        return [_row(record, finished, predictions, annotations.skeleton) for record in chosen]
    except InputError as error:
        log.warning("the report has no pictures: %s", error)
        return []


def _by_instance(run: Run) -> dict[str, NDArray[np.float64]]:
    """Return poses [K, 3] (x, y, confidence) by instance."""
    results: list[dict[str, Any]] = read_json_file(run.folder.predictions)
    return {result["instance"]: np.reshape(result["keypoints"], (-1, 3)) for result in results}


def _row(
    record: PoseRecord,
    runs: Sequence[Run],
    predictions: Sequence[dict[str, NDArray[np.float64]]],
    skeleton: Skeleton,
) -> PictureRow:
    image = read_checked(record.image_path, record.image_size, record.source)
    crop = crop_box(record.box, 1.0)
    pictures = [_picture("ground truth", image, crop, record.keypoints, record.visible, skeleton)]
    for run, poses in zip(runs, predictions, strict=True):
        pose = poses[record.id]
        pictures.append(_picture(run.label, image, crop, pose[:, :2], pose[:, 2] > SHOWN_FROM, skeleton))
    return PictureRow(str(record.image_id), tuple(pictures))


def _picture(
    caption: str,
    image: NDArray[np.uint8],
    crop: CropBox,
    keypoints: NDArray[np.float64],
    shown: NDArray[np.bool_],
    skeleton: Skeleton,
) -> Picture:
    matrix = classic_matrix(crop, (SIDE, SIDE))
    drawn = draw_pose(warp(image, matrix, (SIDE, SIDE)), transform_points(keypoints, matrix), shown, skeleton)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return Picture(caption, base64.b64encode(encoded.tobytes()).decode("ascii"))
