"""The work of `python -m lynx_pose.predict`."""

import functools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from omegaconf import DictConfig
from rich.progress import track

from lynx_pose.arrays import Pixels
from lynx_pose.data.light import measured_light
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.evaluation.calibration import Calibration
from lynx_pose.evaluation.guarantee import Guarantee
from lynx_pose.files import atomic_write, fingerprint, read_json, write_json, write_text
from lynx_pose.machine import usable_cores
from lynx_pose.models.embedded import find_network
from lynx_pose.prediction.batching import BatchPredictor
from lynx_pose.prediction.box_sources import BoxSource, read_boxes
from lynx_pose.prediction.estimator import PoseEstimator, load
from lynx_pose.prediction.media import Media, find_media, is_video
from lynx_pose.prediction.pose_log import AnimalPose, ImagePoses, PoseLog
from lynx_pose.prediction.tracking import track_animals
from lynx_pose.prediction.video import draw_video, smooth_poses
from lynx_pose.prediction.writers import PoseWriter
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.visualization.draw import draw_pose

if TYPE_CHECKING:
    from lynx_pose.lifting.lifted_files import LiftedWriter

log = logging.getLogger(__name__)
# Kinds of problems that are shown, each by its first; all of them are in problems.txt.
SHOWN_PROBLEMS = 10
# By what radii may hold: what a new image tells, or a table of boxes.
GROUPS = ("light", "species", "place")
Draw = Callable[[Pixels, Sequence[AnimalPose]], Pixels]


@dataclass(frozen=True)
class PredictionResult:
    """What `predict_images` leaves.

    Args:
        poses: what was found, to go through.
        media: that it was found in.
        paths: of the files for other programs.
    """

    poses: PoseLog
    media: Media
    paths: Sequence[Path]


def load_estimator(cfg: DictConfig) -> PoseEstimator:
    """Load the network that `conf/predict.yaml` describes."""
    return load(
        cfg.run,
        batch_size=cfg.batch_size,
        flip_test=cfg.flip_test,
        precision=cfg.precision,
        device=cfg.device,
        trust=cfg.trust,
    )


def predict_images(cfg: DictConfig, estimator: PoseEstimator | None = None) -> PredictionResult:
    """Find the poses in images and videos as configured in `conf/predict.yaml`.

    Args:
        cfg: the configuration.
        estimator: None loads the configured one.

    Raises:
        InputError: an option, the boxes or the output cannot be used. Files that cannot be read are listed at the
            end, and no error.
    """
    estimator, run = estimator or load_estimator(cfg), find_network(cfg.run)
    lifted = _lifted_writer(cfg, estimator.skeleton)
    # Before the first batch, so that each image's poses are those of one network, whenever it was predicted.
    estimator.network.fold_batchnorm()
    media = find_media(cfg.images if isinstance(cfg.images, str) else list(cfg.images))
    _require_boxes_if_needed(str(cfg.boxes), estimator)
    boxes = read_boxes(str(cfg.boxes), media, cfg.box_category, cfg.box_confidence)
    with PoseLog(Path(cfg.output).expanduser(), _settings(cfg, run, media, boxes)) as poses:
        calibration, guarantee = _calibration(cfg, poses.folder, estimator.skeleton)
        draw = functools.partial(draw_animals, skeleton=estimator.skeleton, min_confidence=cfg.min_confidence)
        save = functools.partial(_save_drawing, poses.folder / "drawn", draw) if cfg.draw else None
        predictor = BatchPredictor(estimator, media, boxes, cfg.workers or usable_cores(), save)
        rest = [name for name in media.names if not poses.is_done(name)]
        if len(rest) < len(media.names):
            log.info("%d of %d files are done already", len(media.names) - len(rest), len(media.names))
        for found in track(predictor(rest), "looking for poses", total=len(rest), disable=not rest):
            poses.add(found)
        tracked = _Tracked(poses, estimator.skeleton, cfg.min_confidence, cfg.smooth)
        if cfg.draw:
            _draw_videos(tracked, media, poses.folder / "drawn", draw)
        writer = PoseWriter(
            poses.folder,
            estimator.skeleton,
            cfg.min_confidence,
            calibration,
            guarantee,
            _groups(guarantee.by if guarantee else None, media),
            cfg.abstain_above,
        )
        paths = writer.write(tracked)
        if lifted:
            paths += lifted.write(tracked, poses.folder)
        _log_result(poses, paths)
    return PredictionResult(poses, media, paths)


def _settings(cfg: DictConfig, run: Path, media: Media, boxes: BoxSource) -> dict[str, Any]:
    """Return what poses depend on: those in a folder are added to if they were found with the same."""
    return {
        "network": fingerprint([run / "checkpoints" / "best.ckpt" if run.is_dir() else run]),
        "images": str(media.folder),
        "boxes": boxes.fingerprint,
        **{key: cfg[key] for key in ("flip_test", "precision", "smooth", "min_confidence")},
    }


def _require_boxes_if_needed(boxes: str, estimator: PoseEstimator) -> None:
    """Refuse boxes for a network that finds the animals by itself, and none for one that does not."""
    if estimator.finds_animals and boxes != "none":
        raise InputError(f"boxes={boxes}: this network finds the animals of a whole photograph by itself: boxes=none")
    if boxes == "none" and not estimator.finds_animals:
        raise InputError(
            "boxes=none: this network sees one animal a box; give a file of boxes or boxes=image, or train one that "
            "finds the animals by itself (model=personlab)"
        )


def _lifted_writer(cfg: DictConfig, skeleton: Skeleton) -> "LiftedWriter | None":
    if not cfg.lift:
        return None
    # Imported here, because it needs torch, which ONNX files do without.
    from lynx_pose.lifting.lifted_files import LiftedWriter

    return LiftedWriter(skeleton, cfg.lift, cfg.min_confidence)


@dataclass(frozen=True)
class _Tracked:
    """What was found; in videos animals are numbered, and their poses smoothed where that is asked for."""

    poses: PoseLog
    skeleton: Skeleton
    min_confidence: float
    smooth: float | None

    def __iter__(self) -> Iterator[ImagePoses]:
        for found in self.poses:
            if found.fps:
                found = track_animals(found, self.skeleton, self.min_confidence)
                found = smooth_poses(found, self.smooth) if self.smooth else found
            yield found


def draw_animals(pixels: Pixels, animals: Sequence[AnimalPose], skeleton: Skeleton, min_confidence: float) -> Pixels:
    """Draw the poses of animals on a copy of [H, W, 3] RGB."""
    for animal in animals:
        points = np.array(animal.keypoints)
        pixels = draw_pose(pixels, points[:, :2], points[:, 2] >= min_confidence, skeleton)
    return pixels


def _save_drawing(folder: Path, draw: Draw, name: str, pixels: Pixels, animals: Sequence[AnimalPose]) -> None:
    path = Media.drawing(folder, name)
    # OpenCV's own writing crashes at names that are not UTF-8.
    encoded, content = cv2.imencode(path.suffix, cv2.cvtColor(draw(pixels, animals), cv2.COLOR_RGB2BGR))
    if not encoded:
        raise InputError(f"{path}: the image cannot be written")
    with atomic_write(path, "wb") as file:
        file.write(content)


def _draw_videos(poses: _Tracked, media: Media, folder: Path, draw: Draw) -> None:
    for found in poses:
        if is_video(found.name) and found.is_read and not (path := Media.drawing(folder, found.name)).exists():
            draw_video(media.path(found.name), found, path, draw)


def _calibration(cfg: DictConfig, folder: Path, skeleton: Skeleton) -> tuple[Calibration | None, Guarantee | None]:
    """Calibrate, or take the calibration that an earlier call wrote: here, or in the file that `calibration` names."""
    own = folder / "calibration.json"
    path = own if own.exists() or not cfg.calibration else Path(cfg.calibration).expanduser()
    if path.exists() or cfg.calibration:
        return _read_calibration(path, cfg.guarantee, cfg.guarantee_by, skeleton)
    if cfg.guarantee_by not in (None, *GROUPS):
        raise InputError(f"guarantee_by={cfg.guarantee_by}: must be one of {', '.join(GROUPS)}")
    if not cfg.calibrate and cfg.guarantee is None:
        return None, None
    run = find_network(cfg.run)
    if not run.is_dir():
        raise InputError(
            f"calibrate=true and guarantee= need the folder of a run, whose validation set they take, not {run}; or "
            "calibration=<the calibration.json of another prediction by the same network>"
        )
    # Imported here, because ONNX files are predicted with where torch is not.
    from lynx_pose.evaluation.reliability import calibrate
    from lynx_pose.evaluation.validate import run_config

    run_cfg = run_config(run, list(cfg.overrides), cfg.trust)
    found = calibrate(run_cfg, RunFolder(run), folder, cfg.guarantee, cfg.guarantee_by)
    content = found.calibration.to_dict(skeleton.names)
    if found.guarantee:
        content |= {"guarantee": found.guarantee.to_dict(skeleton.names), "measured_coverage": found.coverage}
        for group, share in found.coverage.items():
            known = group in ("all", *found.guarantee.group_factors)
            log.info(
                "guarantee=%g: of keypoints of animals that were not used (%s%s), %.1f %% lie within their radius",
                *(cfg.guarantee, group, "" if known else ", too few for radii of their own", 100 * share),
            )
    write_json(own, content)
    write_text(folder / "calibration.html", found.page)
    return found.calibration, found.guarantee


def _groups(by: str | None, media: Media) -> Callable[[ImagePoses, AnimalPose], str | None]:
    """Return what names an animal's group: its image's light, measured; else what its box says in a column `by`."""

    @functools.lru_cache(maxsize=1)
    def light(name: str) -> str:
        return measured_light(media.path(name))

    def group(found: ImagePoses, animal: AnimalPose) -> str | None:
        if by == "light":
            # Frames of one video may be of day and of night.
            return None if found.fps else light(found.name)
        return animal.ids.get(by or "")

    return group


def _read_calibration(
    path: Path, level: float | None, by: str | None, skeleton: Skeleton
) -> tuple[Calibration, Guarantee | None]:
    """Read what an earlier call wrote.

    Raises:
        InputError: it is of other keypoints, or has no guarantee of this level or by these groups.
    """
    content = read_json(path)
    try:
        if list(content["keypoints"]) != list(skeleton.names):
            raise InputError(f"{path}: is of other keypoints than the network's")
        calibration = Calibration.from_dict(content)
        guarantee = Guarantee.from_dict(content["guarantee"]) if "guarantee" in content else None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no calibration that predict wrote ({error!r})") from None
    if level is not None and (guarantee is None or guarantee.level != level):
        known = "none" if guarantee is None else f"one of {guarantee.level:g}"
        raise InputError(f"guarantee={level:g}: {path} has {known}; choose another output=, or make it anew")
    if by is not None and (guarantee is None or guarantee.by != by):
        raise InputError(f"guarantee_by={by}: {path} has none by it; choose another output=, or make it anew")
    return calibration, guarantee


def _log_result(poses: PoseLog, paths: Sequence[Path]) -> None:
    problems = [problem for found in poses for problem in found.problems]
    animals = sum(len(one) for found in poses for one in found.frames)
    log.info("images and videos: %d; animals: %d", len(poses), animals)
    if problems:
        path = poses.folder / "problems.txt"
        write_text(path, "\n".join(problems) + "\n")
        log.warning("%d could not be used, all in %s:", len(problems), path)
        alike: dict[str, list[str]] = {}
        for problem in problems:
            # The same but for the image's name and the numbers.
            alike.setdefault(re.sub(r"[\d.]+", "", problem.partition(": ")[2]), []).append(problem)
        for first, *others in list(alike.values())[:SHOWN_PROBLEMS]:
            log.warning("  %s%s", first, f" (and {len(others)} alike)" if others else "")
    for path in paths:
        log.info("%s", path)
