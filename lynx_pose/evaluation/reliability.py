"""Calibrates a run's confidences on its validation set, and shows how reliable that is on animals not used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from omegaconf import DictConfig

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.crop import CropConvention, crop_box, pixel_side
from lynx_pose.data.light import light_of
from lynx_pose.evaluation.calibration import Calibration, part_numbers
from lynx_pose.evaluation.guarantee import FOLDS, Guarantee, KeypointErrors, held_out_coverage
from lynx_pose.evaluation.validate import clusters_of, validate_run
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.training.run_folder import RunFolder

# Of the figure, in pixels.
WIDTH, HEIGHT = 640, 520


def held_out_errors(
    confidences: Floats, errors: Floats, visible: Mask, clusters: Sequence[str] | None = None
) -> Floats:
    """Return the error [N, K] that is expected of each animal by a calibration on the others.

    Args:
        confidences: [N, K], as for `Calibration.fit`.
        errors: [N, K].
        visible: [N, K].
        clusters: [N] what belongs together, as for `part_numbers`.
    """
    fold = part_numbers(len(confidences), FOLDS, clusters)
    expected = np.zeros_like(errors)
    for number in range(fold.max() + 1):
        others, mine = fold != number, fold == number
        if visible[others].any():
            expected[mine] = Calibration.fit(confidences[others], errors[others], visible[others])(confidences[mine])
    return expected


def reliability(expected: Floats, errors: Floats, bins: int = 10) -> list[tuple[float, float, int]]:
    """Compare expected with observed errors, in parts of equal count from the smallest expectation on.

    Args:
        expected: [M] of keypoints.
        errors: [M] of the same.
        bins: number of parts.

    Returns:
        mean expected error, mean observed error and count of each part.
    """
    order = np.argsort(expected, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    return [(float(expected[part].mean()), float(errors[part].mean()), int(part.size)) for part in parts]


@dataclass(frozen=True)
class Calibrated:
    """What a run's validation set says of its confidences.

    Args:
        calibration: the error that is expected at each confidence.
        guarantee: radii that hold; None where none is asked for.
        coverage: share of keypoints within their radius, each fitted on the other animals, of all and of each group;
            empty without a guarantee.
        page: HTML of the reliability: each animal's errors beside those that a calibration on the others expects.
    """

    calibration: Calibration
    guarantee: Guarantee | None
    coverage: dict[str, float]
    page: str


def calibrate(
    cfg: DictConfig, folder: RunFolder, output: Path, level: float | None = None, by: str | None = None
) -> Calibrated:
    """Fit what a confidence means in pixels, on the validation set that chose the best checkpoint.

    Args:
        cfg: configuration of a run whose data are at hand, as `run_config` reads it.
        folder: of the run.
        output: folder for what other processes say, where the changes ask for several.
        level: of the guarantee; None gives none.
        by: field of records by whose values the guarantee shall hold, such as `light`; None has it hold for all.

    Raises:
        InputError: there are too few animals for the level.
    """
    task, datamodule = validate_run(cfg, folder, folder.best, output)
    poses = task.metric.poses
    assert poses is not None, "validation has computed them"
    sizes = crop_pixel_sizes(poses.records, datamodule.input_size, datamodule.crop_convention)[:, None]
    errors = poses.distances / sizes
    clusters = clusters_of(cfg, poses.records)
    expected = held_out_errors(poses.scores, errors, poses.visible, clusters)
    # The network's certainty is in pixels that it saw, a user's photograph in others.
    figure = reliability_figure(expected * sizes, poses, datamodule.skeleton.names)
    page: str = figure.to_html(include_plotlyjs=True, full_html=True)
    calibration = Calibration.fit(poses.scores, errors, poses.visible)
    if level is None:
        return Calibrated(calibration, None, {}, page)
    groups = None
    if by:
        # As predictions will know it, which have the image alone.
        groups = [*light_of(poses.records)] if by == "light" else [getattr(record, by) for record in poses.records]
    found = KeypointErrors(poses.scores, errors, poses.visible, clusters, groups)
    return Calibrated(calibration, Guarantee.fit(found, level, by), held_out_coverage(found, level), page)


def crop_pixel_sizes(
    records: Sequence[PoseRecord], input_size: tuple[int, int], convention: CropConvention = CropConvention.CLASSIC
) -> Floats:
    """Return [N], the image pixels along the side of a pixel that the network saw of each animal.

    Args:
        records: the animals.
        input_size: (width, height) of the crop.
        convention: of the head's codec; the other gives sizes that differ by one part in the crop's width.
    """
    width, height = input_size
    matrices = [convention.matrix(crop_box(record.box, width / height), (width, height)) for record in records]
    return np.array([pixel_side(matrix) for matrix in matrices])


def reliability_figure(image_errors: Floats, poses: Poses, names: Sequence[str]) -> go.Figure:
    """Draw observed over expected errors; on the diagonal, they are what was expected.

    Args:
        image_errors: [N, K] expected, in image pixels.
        poses: of the N animals.
        names: of the K keypoints, each of which is a point of its own.
    """
    seen = poses.visible
    expected, observed, counts = zip(*reliability(image_errors[seen], poses.distances[seen]), strict=True)
    known = [number for number in range(len(names)) if seen[:, number].any()]
    by_kind = (image_errors, poses.distances)
    means = [[float(errors[seen[:, number], number].mean()) for number in known] for errors in by_kind]
    end = 1.05 * max(*expected, *observed, *means[0], *means[1])
    texts = [f"{count} keypoints" for count in counts]
    figure = go.Figure(
        [
            go.Scatter(x=[0, end], y=[0, end], mode="lines", line={"dash": "dot", "color": "#999"}, name="as expected"),
            go.Scatter(
                x=expected, y=observed, mode="lines+markers", text=texts, name="all keypoints", line_color="#1f5fa8"
            ),
            go.Scatter(
                x=means[0],
                y=means[1],
                mode="markers",
                text=[f"{names[number]}, {seen[:, number].sum()} animals" for number in known],
                name="each keypoint",
                marker={"color": "#d9822b", "symbol": "circle-open"},
            ),
        ]
    )
    title = f"Expected and observed errors ({len(poses.records)} validation animals, each judged by the others)"
    figure.update_layout(
        width=WIDTH,
        height=HEIGHT,
        title={"text": title, "font": {"size": 13}},
        xaxis_title="expected error, image pixels",
        yaxis_title="observed error, image pixels",
        template="simple_white",
    )
    return figure
