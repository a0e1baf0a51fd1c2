"""The work of `python -m lynx_pose.predict`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.progress import track

from lynx_pose.cores import usable_cores
from lynx_pose.data.records import fingerprint
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.prediction.batches import Prediction, write_image
from lynx_pose.prediction.box_files import read_boxes
from lynx_pose.prediction.calibration import Calibration
from lynx_pose.prediction.estimator import Pixels, PoseEstimator, load
from lynx_pose.prediction.media import Media, find_media, is_video
from lynx_pose.prediction.outputs import Outputs
from lynx_pose.prediction.record import Animal, Found, Record
from lynx_pose.prediction.video import draw_video, smoothed
from lynx_pose.run_folder import read_json_file, write_json
from lynx_pose.visualization.draw import draw_pose

log = logging.getLogger(__name__)
# Problems that are told one by one; all of them are in problems.txt.
TOLD = 10


@dataclass(frozen=True)
class Predicted:
    """What `predict` leaves.

    Args:
        record: of what was found, to go through.
        media: that it was found in.
        paths: of the files for other programs.
    """

    record: Record
    media: Media
    paths: Sequence[Path]


def estimator_of(cfg: DictConfig) -> PoseEstimator:
    """Load the network that `conf/predict.yaml` describes."""
    return load(cfg.run, batch_size=cfg.batch_size, flip_test=cfg.flip_test, precision=cfg.precision, device=cfg.device)


def predict(cfg: DictConfig, estimator: PoseEstimator) -> Predicted:
    """Find the poses in photographs and videos as configured in `conf/predict.yaml`.

    Raises:
        InputError: an option, the boxes or the output cannot be used. Files that cannot be read are listed at the
            end, and no error.
    """
    given = cfg.images if isinstance(cfg.images, str) else list(cfg.images)
    media = find_media(given)
    boxes = read_boxes(str(cfg.boxes), media, cfg.box_category, cfg.box_confidence)
    settings = {
        "network": _network_fingerprint(Path(cfg.run).expanduser()),
        "images": str(media.folder),
        "boxes": boxes.fingerprint,
        **{key: cfg[key] for key in ("flip_test", "precision", "smooth", "confident")},
    }
    with Record(Path(cfg.output).expanduser(), settings) as record:
        calibration = _calibration(cfg, record.folder, estimator.skeleton)
        drawing = functools.partial(_drawn, skeleton=estimator.skeleton, confident=cfg.confident)
        save = functools.partial(_save_drawn, record.folder / "drawn", drawing) if cfg.draw else None
        job = Prediction(estimator, media, boxes, cfg.workers or usable_cores(), save)
        _work(job, media, record)
        found = _Smoothed(record, cfg.smooth) if cfg.smooth else record
        if cfg.draw:
            _draw_videos(found, media, record.folder / "drawn", drawing)
        paths = Outputs(record.folder, estimator.skeleton, cfg.confident, calibration).write(found)
        _tell(record, paths)
    return Predicted(record, media, paths)


def _network_fingerprint(run: Path) -> str:
    from_run = run / "checkpoints" / "best.ckpt"
    return fingerprint([from_run if run.is_dir() else run])


def _work(job: Prediction, media: Media, record: Record) -> None:
    rest = [name for name in media.names if not record.is_done(name)]
    if len(rest) < len(media.names):
        log.info("%d of %d files are done already", len(media.names) - len(rest), len(media.names))
    for found in track(job(rest), "looking for poses", total=len(rest), disable=not rest):
        record.add(found)


class _Smoothed:
    """What was found, with the poses in videos smoothed."""

    def __init__(self, record: Record, sigma: float):
        self.record = record
        self.sigma = sigma

    def __iter__(self) -> Iterator[Found]:
        return (smoothed(found, self.sigma) if found.fps else found for found in self.record)


def _drawn(pixels: Pixels, animals: Sequence[Animal], skeleton: Skeleton, confident: float) -> Pixels:
    """Draw the poses of animals on a copy of [H, W, 3] RGB."""
    for animal in animals:
        points = np.array(animal.keypoints)
        pixels = draw_pose(pixels, points[:, :2], points[:, 2] >= confident, skeleton)
    return pixels


def _save_drawn(folder: Path, drawing: Any, name: str, pixels: Pixels, animals: Sequence[Animal]) -> None:
    target = folder / name
    is_jpeg = target.suffix.lower() in (".jpg", ".jpeg")
    write_image(target if is_jpeg else target.with_name(f"{target.name}.jpg"), drawing(pixels, animals))


def _draw_videos(record: Record | _Smoothed, media: Media, folder: Path, drawing: Any) -> None:
    for found in record:
        target = (folder / found.name).with_suffix(".mp4")
        if is_video(found.name) and found.is_read and not target.exists():
            draw_video(media.path(found.name), found, target, drawing)


def _calibration(cfg: DictConfig, folder: Path, skeleton: Skeleton) -> Calibration | None:
    """Calibrate, or take the calibration that an earlier call wrote."""
    path = folder / "calibration.json"
    if path.exists():
        return Calibration.from_dict(read_json_file(path))
    if not cfg.calibrate:
        return None
    run = Path(cfg.run).expanduser()
    if not run.is_dir():
        raise InputError(f"calibrate=true: needs the folder of a run, whose validation set it takes, not {run}")
    from lynx_pose.prediction.validation import calibrate

    calibration, page = calibrate(run, list(cfg.overrides), folder)
    write_json(path, calibration.to_dict(skeleton.names))
    (folder / "calibration.html").write_text(page, encoding="utf-8")
    return calibration


def _tell(record: Record, paths: Sequence[Path]) -> None:
    problems = [problem for found in record for problem in found.problems]
    animals = sum(len(one) for found in record for one in found.frames)
    log.info("%d animals in %d photographs and videos", animals, len(record))
    if problems:
        listed = record.folder / "problems.txt"
        listed.write_text("\n".join(problems) + "\n", encoding="utf-8")
        log.warning("%d could not be used, all in %s:", len(problems), listed)
        for problem in problems[:TOLD]:
            log.warning("  %s", problem)
    for path in paths:
        log.info("%s", path)
