"""Validation images with annotated and predicted poses: a choice, the worst of the baseline, and learning."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lynx_pose.arrays import Matrix
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.crop import CropConvention, crop_box, transform_points, warp
from lynx_pose.data.image import read_checked
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.evaluation.saved_poses import read_poses
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.reporting.html import jpeg_base64
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.tables import stages
from lynx_pose.reporting.validation_poses import Validation
from lynx_pose.visualization.svg import pose_svg

log = logging.getLogger(__name__)
SIDE = 256
# As MMPose draws: keypoints of a lower confidence are left out.
MIN_CONFIDENCE = 0.2
# More runs than fit on a page side by side are represented by the best of each row.
MOST_POSES = 6


@dataclass(frozen=True)
class Drawing:
    """A pose to lie over the image: whose it is, and its SVG."""

    caption: str
    svg: str


@dataclass(frozen=True)
class GalleryRow:
    """One animal.

    Args:
        title: name of the image, and why it is shown.
        image: base64 of the crop's JPEG, the same under every drawing.
        drawings: ground truth first.
    """

    title: str
    image: str
    drawings: tuple[Drawing, ...]


def chosen_rows(runs: Sequence[Run], validation: Validation, count: int) -> list[GalleryRow]:
    """Show animals spread over the validation set, with the poses of all runs, or of the best of each row."""
    finished = validation.of(runs)
    if len(finished) > MOST_POSES:
        finished = [run for _, stage, run in stages(finished) if stage == "best"]
    labelled = [(run.label, validation[run]) for run in finished]
    places = spread_places(len(validation.records), count)
    return _readable_rows([(place, "", labelled) for place in places], validation)


def spread_places(animals: int, count: int) -> list[int]:
    """Return the places of at most `count` animals, spread over all."""
    return [round(place) for place in np.linspace(0, animals - 1, min(count, animals))]


def worst_rows(runs: Sequence[Run], validation: Validation) -> list[GalleryRow]:
    """Show for each row the animal of the baseline's lowest OKS: baseline, no augmentation, best (Figures 40 to 42)."""
    wanted = []
    found = stages(validation.of(runs))
    for row in dict.fromkeys(row for row, stage, _ in found if stage == "baseline"):
        own = {stage: run for other, stage, run in found if other == row}
        similarity = validation[own["baseline"]].oks(validation.annotations.skeleton.sigmas)
        labelled = [(f"{stage} ({run.label})", validation[run]) for stage, run in own.items()]
        place = int(similarity.argmin())
        wanted.append((place, f"{row}: the baseline's lowest OKS, {similarity[place]:.3f}", labelled))
    return _readable_rows(wanted, validation)


def learning_row(runs: Sequence[Run], validation: Validation) -> list[GalleryRow]:
    """Show one animal through the epochs of the best run (Figure 44): the baseline's second-lowest OKS."""
    trained = [run for run in validation.of(runs) if _kept_epochs(run)]
    if not trained:
        return []
    best = max(trained, key=lambda run: run.best["AP"])
    epochs = _kept_epochs(best)
    sigmas = validation.annotations.skeleton.sigmas
    labelled = [
        (_after(epoch), read_poses(best.config, path, validation.annotations)) for epoch, path in epochs.items()
    ]
    labelled.append((f"best, {_after(int(best.best['epoch']))}", validation[best]))
    known = stages(validation.of(runs))
    baselines = [run for row, stage, run in known if stage == "baseline" and row == best.row]
    hardest = validation[baselines[0]] if baselines else labelled[0][1]
    place = int(np.argsort(hardest.oks(sigmas))[:2][-1])
    return _readable_rows([(place, best.label, labelled)], validation)


def _after(epoch: int) -> str:
    """Say when an epoch ends, which count from 0; the thesis's Figure 44 calls the untrained network epoch 0."""
    return f"after {epoch + 1} epoch{'s' if epoch else ''}"


def _kept_epochs(run: Run) -> dict[int, Path]:
    folder = run.folder.path / "poses"
    return {int(path.stem.split("-")[1]): path for path in sorted(folder.glob("epoch-*.json"))}


def _readable_rows(
    wanted: Sequence[tuple[int, str, Sequence[tuple[str, Poses]]]], validation: Validation
) -> list[GalleryRow]:
    """Draw what can be drawn; images that are gone are said to be."""
    rows = []
    for place, why, labelled in wanted:
        try:
            rows.append(_row(validation.records[place], place, why, labelled, validation.annotations.skeleton))
        except InputError as error:
            log.warning("the report goes without an image: %s", error)
    return rows


def _row(
    record: PoseRecord, place: int, why: str, labelled: Sequence[tuple[str, Poses]], skeleton: Skeleton
) -> GalleryRow:
    image = read_checked(record.image_path, record.image_size, record.source)
    matrix = CropConvention.CLASSIC.matrix(crop_box(record.box, 1.0), (SIDE, SIDE))
    truth = pose_svg(transform_points(record.keypoints, matrix), None, record.visible, skeleton, (SIDE, SIDE))
    drawings = [Drawing("ground truth", truth)]
    for caption, poses in labelled:
        drawings.append(Drawing(caption, _predicted(poses, place, matrix, record, skeleton)))
    title = f"{record.image_name}" + (f" ({why})" if why else "")
    return GalleryRow(title, jpeg_base64(warp(image, matrix, (SIDE, SIDE))), tuple(drawings))


def _predicted(poses: Poses, place: int, matrix: Matrix, record: PoseRecord, skeleton: Skeleton) -> str:
    """Draw the confident points of those that are annotated, as the thesis does."""
    shown = record.visible & (poses.scores[place] > MIN_CONFIDENCE)
    return pose_svg(
        transform_points(poses.keypoints[place], matrix), poses.scores[place], shown, skeleton, (SIDE, SIDE)
    )
