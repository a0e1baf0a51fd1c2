"""A run's validation set: what confidences mean on it, and what AP a network in a file reaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from lynx_pose.building import build_datamodule, object_areas, read_annotations
from lynx_pose.data.crop import crop_box, pixel_side
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.evaluation import run_config, validated
from lynx_pose.metrics.pose_evaluation import PoseEvaluation, Poses
from lynx_pose.prediction.calibration import Calibration, held_out_errors, reliability
from lynx_pose.prediction.estimator import CropNetwork, Pixels
from lynx_pose.run_folder import RunFolder, read_json_file
from lynx_pose.task import to_image_pixels

Floats = NDArray[np.float64]
# Of the figure, in pixels.
WIDTH, HEIGHT = 640, 520


def calibrate(run: Path, overrides: Sequence[str], output: Path) -> tuple[Calibration, str]:
    """Fit what a confidence means in pixels, on the validation set that chose the best checkpoint.

    Args:
        run: folder of a run whose data are at hand.
        overrides: changes to its configuration, as `key=value`.
        output: folder for what other processes say, where the changes ask for several.

    Returns:
        The calibration, and a page with its reliability: each animal's errors beside those that a calibration on the
        other animals expects.
    """
    folder = RunFolder(run)
    task, datamodule = validated(run_config(run, overrides), folder, folder.best, output)
    poses = task.evaluation.poses
    assert poses is not None, "validation has computed them"
    errors = poses.distances / crop_pixels(poses, datamodule)[:, None]
    expected = held_out_errors(poses.scores, errors, poses.visible)
    parts = reliability(expected[poses.visible], errors[poses.visible])
    figure = reliability_figure(parts, len(poses.records))
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    return Calibration.fit(poses.scores, errors, poses.visible), page


def network_figures(network: CropNetwork, run: Path, overrides: Sequence[str]) -> dict[str, float]:
    """Return AP and the other figures of any network on the validation set of a run.

    Args:
        network: such as an ONNX file's.
        run: folder of a run whose data are at hand.
        overrides: changes to its configuration, as `key=value`.
    """
    cfg, datamodule = _validation_data(network, run, overrides)
    records = datamodule.val_records
    evaluation = PoseEvaluation(records, datamodule.skeleton.sigmas, object_areas(cfg, records))
    for batch in datamodule.val_dataloader():
        keypoints, confidences = map(torch.from_numpy, network(batch.image.numpy()))
        evaluation.update(batch.position, to_image_pixels(keypoints, batch.matrix), confidences)
    return evaluation.compute()


def validation_crops(network: CropNetwork, run: Path, overrides: Sequence[str], count: int) -> Pixels:
    """Return up to `count` crops [N, H, W, 3] of the validation set of a run."""
    _, datamodule = _validation_data(network, run, overrides)
    crops: list[Pixels] = []
    for batch in datamodule.val_dataloader():
        crops += list(batch.image.numpy())
        if len(crops) >= count:
            break
    return np.stack(crops[:count])


def _validation_data(network: CropNetwork, run: Path, overrides: Sequence[str]) -> tuple[DictConfig, PoseDataModule]:
    cfg = run_config(run, ["loader.num_workers=0", *overrides])
    annotations = read_annotations(cfg)
    kept_split = read_json_file(RunFolder(run).split)
    return cfg, build_datamodule(cfg, annotations, network.warp_matrix, kept_split)


def crop_pixels(poses: Poses, datamodule: PoseDataModule) -> Floats:
    """Return [N], the image pixels along the side of a pixel that the network saw of each animal."""
    width, height = datamodule.input_size
    matrices = [
        datamodule.warp_matrix(crop_box(record.box, width / height), (width, height)) for record in poses.records
    ]
    return np.array([pixel_side(matrix) for matrix in matrices])


def reliability_figure(parts: Sequence[tuple[float, float, int]], animals: int) -> go.Figure:
    """Draw observed over expected errors; on the diagonal, they are what was expected."""
    expected, observed, counts = zip(*parts, strict=True)
    end = 1.05 * max(*expected, *observed)
    texts = [f"{count} keypoints" for count in counts]
    figure = go.Figure(
        [
            go.Scatter(x=[0, end], y=[0, end], mode="lines", line={"dash": "dot", "color": "#999"}, name="as expected"),
            go.Scatter(x=expected, y=observed, mode="lines+markers", text=texts, name="observed", line_color="#1f5fa8"),
        ]
    )
    title = f"Expected and observed errors ({animals} validation animals, each judged by the others)"
    figure.update_layout(
        width=WIDTH,
        height=HEIGHT,
        title={"text": title, "font": {"size": 13}},
        xaxis_title="expected error, crop pixels",
        yaxis_title="observed error, crop pixels",
        template="simple_white",
    )
    return figure
