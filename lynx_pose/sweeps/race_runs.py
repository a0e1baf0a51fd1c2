"""The runs of a race: jobs of a sweep that pause after a number of epochs, and what they reached there."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps._plan import Identity, identity, placed_jobs, quoted
from lynx_pose.arrays import AnyArray, Floats
from lynx_pose.errors import InputError
from lynx_pose.evaluation.saved_poses import read_poses
from lynx_pose.evaluation.validate import clusters_of
from lynx_pose.files import read_json, write_json
from lynx_pose.metrics.bootstrap import image_positions, match_poses, resample_images, resampled_ap
from lynx_pose.metrics.validation_metric import Poses
from lynx_pose.sweeps.pose_application import CHANGEABLE, Overrides
from lynx_pose.sweeps.race import Placing, Race, Standing, race_sentences, stages
from lynx_pose.sweeps.sweep_folder import started_jobs
from lynx_pose.training.build import read_annotations
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)
RECORD = "race.json"
RESAMPLES = 500
# Folder of each run, by cell and seed.
Grid = Mapping[tuple[str, int], RunFolder]


class SavedStandings:
    """What runs had reached after an epoch, from the poses that they kept.

    Args:
        grid: folders of the runs.
        epochs: of a whole run, at whose end the best epoch counts.
    """

    def __init__(self, grid: Grid, epochs: int):
        self.grid = grid
        self.epochs = epochs
        self._measures: dict[Path, Measure] = {}

    def at(self, cells: Sequence[str], seeds: Sequence[int], epochs: int, images: Floats | None = None) -> Standing:
        """Return what cells [C] with seeds [S] had reached after a number of epochs.

        Args:
            cells: of the grid.
            seeds: of the grid.
            epochs: at whose end all of these have kept their poses.
            images: [I] how often each validation image counts; None counts each once.
        """
        found = [[self._measure(self.grid[cell, seed], epochs) for seed in seeds] for cell in cells]
        once = np.ones_like(found[0][0].counts[:1]) if images is None else np.asarray(images)[None]
        return Standing(
            np.array([[measure(once)[0] for measure in row] for row in found]),
            np.array([np.mean([measure.resampled for measure in row], axis=0) for row in found]),
        )

    @property
    def images(self) -> int:
        """Number of validation images."""
        return int(self._measure(next(iter(self.grid.values())), self.epochs).counts.shape[1])

    def _measure(self, folder: RunFolder, epochs: int) -> "Measure":
        ended = epochs == self.epochs
        file = folder.predictions if ended else folder.epoch_predictions(epochs - 1)
        if file not in self._measures:
            config = folder.read_config(trust=True)
            poses = read_poses(config, file, self._annotations)
            counts = resample_images(poses, RESAMPLES, clusters_of(config, poses.records))
            self._measures[file] = (ApMeasure if ended else OksMeasure)(
                poses, self._annotations.skeleton.sigmas, counts
            )
        return self._measures[file]

    @cached_property
    def _annotations(self) -> Any:
        started = next(folder for folder in self.grid.values() if folder.config.is_file())
        return read_annotations(started.read_config(trust=True))


class Measure(Protocol):
    """A measure of poses on validation images [I], each of which may count several times.

    Attributes:
        counts: [R, I] how often each counts in resamples.
        resampled: [R] the measure of these.
    """

    counts: AnyArray
    resampled: Floats

    def __call__(self, counts: AnyArray) -> Floats:
        """Return the measure [R] where images count as often as `counts` [R, I] says."""


class ApMeasure:
    """COCO AP."""

    def __init__(self, poses: Poses, sigmas: Sequence[float], counts: AnyArray):
        self.counts = counts
        self._matches = match_poses(poses, sigmas)
        self.resampled = self(counts)

    def __call__(self, counts: AnyArray) -> Floats:
        """Return AP [R] of images that count so often."""
        return resampled_ap(self._matches, counts)


class OksMeasure:
    """Mean OKS of the animals."""

    def __init__(self, poses: Poses, sigmas: Sequence[float], counts: AnyArray):
        self.counts = counts
        self._oks = poses.oks(sigmas)
        self._places = image_positions(poses)
        self.resampled = self(counts)

    def __call__(self, counts: AnyArray) -> Floats:
        """Return mean OKS [R] of images that count so often."""
        weights = counts[:, self._places]
        return np.asarray((weights * self._oks).sum(axis=1) / weights.sum(axis=1))


class RaceRuns:
    """Jobs of a sweep that are trained stage by stage, each continued from where it paused.

    Args:
        launcher: that runs jobs.
        config: of the sweep, with Hydra's part.
        jobs: all of the grid.
        epochs: of a whole run.
    """

    def __init__(self, launcher: Launcher, config: DictConfig, jobs: Sequence[Overrides], epochs: int):
        self.launcher, self.epochs, self.hours = launcher, epochs, config.sweep.hours
        self.folder = Path(config.hydra.sweep.dir)
        self.keys = cells_and_seeds(jobs)
        self.jobs = {self.keys[identity(job, CHANGEABLE)]: job for job in placed_jobs(jobs, config, CHANGEABLE)}
        self.record: dict[str, Any] = {"stages": [], "placings": []}
        if (self.folder / RECORD).is_file():
            self.record["stages"] = read_json(self.folder / RECORD)["stages"]
        self.returned: dict[tuple[str, int], JobReturn] = {}
        self._done = 0

    @property
    def cells(self) -> list[str]:
        """What tells the grid's cells apart."""
        return list(dict.fromkeys(cell for cell, _ in self.jobs))

    @property
    def seeds(self) -> list[int]:
        """Seeds that every cell has, in their order."""
        return list(dict.fromkeys(seed for _, seed in self.jobs))

    @property
    def grid(self) -> Grid:
        """Folders of the runs that have begun."""
        begun = ((identity(overrides, CHANGEABLE), run) for overrides, run in started_jobs(self.folder))
        return {self.keys[job]: run for job, run in begun if job in self.keys}

    def train(self, cells: Sequence[str], seeds: Sequence[int], epochs: int) -> set[str]:
        """Train runs on to a number of epochs; return the cells with a run that failed."""
        grid = self.grid
        reached = {key: _epochs_of(grid[key]) if key in grid else 0 for key in product(cells, seeds)}
        left = [key for key, done in reached.items() if done < epochs]
        start = time.monotonic()
        if left:
            log.info("race: %d runs of %d cells up to epoch %d", len(left), len(cells), epochs)
            jobs = [self._until(key, epochs) for key in left]
            self.returned |= dict(zip(left, self.launcher.launch(jobs, initial_job_idx=0), strict=True))
        if self._done == len(self.record["stages"]):
            trained = sum(epochs - reached[key] for key in left)
            self.record["stages"].append({"trained": trained, "seconds": time.monotonic() - start})
            write_json(self.folder / RECORD, self.record)
        self._done += 1
        grid = self.grid
        return {cell for cell, seed in reached if (cell, seed) not in grid or _epochs_of(grid[cell, seed]) < epochs}

    def standing(self, cells: Sequence[str], seeds: Sequence[int], epochs: int) -> Standing:
        """Return what these have reached after a number of epochs."""
        return SavedStandings(self.grid, self.epochs).at(cells, seeds, epochs)

    def budget_left(self) -> float:
        """Return how many epochs of one run can still be trained in `sweep.hours`, as fast as those before."""
        if self.hours is None:
            return math.inf
        done = self.record["stages"][: self._done]
        seconds = sum(stage["seconds"] for stage in done)
        return max(0.0, self.hours * 3600 - seconds) * sum(stage["trained"] for stage in done) / max(seconds, 1e-9)

    def end(self, placings: Sequence[Placing]) -> None:
        """Note what came of the race, also in the summaries of runs that are not trained on."""
        self.record["placings"] = [asdict(one) for one in placings]
        write_json(self.folder / RECORD, self.record)
        verdicts = {one.cell: one.verdict for one in placings}
        for (cell, _), run in self.grid.items():
            summary = run.read_summary()
            if summary["status"] == "paused":
                write_json(run.summary, summary | {"status": "pruned", "ended_early": f"race: {verdicts[cell]}"})

    def _until(self, key: tuple[str, int], epochs: int) -> Overrides:
        """Return the overrides of a run that goes on and pauses."""
        own = [one for one in self.jobs[key] if not one.startswith(("sweep.resume=", "sweep.pause_at="))]
        return [*own, f"sweep.resume={quoted(str(self.folder))}", f"sweep.pause_at={epochs}"]


def cells_and_seeds(jobs: Sequence[Overrides]) -> dict[Identity, tuple[str, int]]:
    """Return each job's cell, by the options that not all jobs have, and its seed."""
    identities = [identity(job, CHANGEABLE) for job in jobs]
    common = frozenset.intersection(*identities)
    found = {}
    for job in identities:
        seed = int(dict(job).get("seed", 0))
        options = sorted((key, value) for key, value in job - common if key != "seed")
        found[job] = " ".join(f"{key}={value}" for key, value in options), seed
    return found


def _epochs_of(run: RunFolder) -> int:
    """Return how many epochs of a run are done and can be compared."""
    if not run.progress.is_file() or run.read_summary()["status"] not in ("paused", "pruned", "completed"):
        return 0
    return int(read_json(run.progress)["epoch"]) + 1


def run_race(
    launcher: Launcher, config: DictConfig, jobs: Sequence[Overrides], compose: Callable[[Overrides], DictConfig]
) -> list[JobReturn]:
    """Hold a race among the jobs of a grid, say what came of it, and return what became of each run that was started.

    Raises:
        InputError: these jobs cannot race.
    """
    epochs, every = _common_length(jobs, compose)
    runs = RaceRuns(launcher, config, jobs, epochs)
    missing = [f"{cell} seed={seed}" for cell, seed in product(runs.cells, runs.seeds) if (cell, seed) not in runs.jobs]
    if missing:
        raise InputError(f"sweep.race=true: every cell needs the same seeds; {missing[0]} is missing")
    placings = Race(runs.cells, runs.seeds, stages(epochs, every), runs).hold()
    runs.end(placings)
    for sentence in race_sentences(placings):
        log.info("race: %s", sentence)
    return list(runs.returned.values())


def _common_length(jobs: Sequence[Overrides], compose: Callable[[Overrides], DictConfig]) -> tuple[int, int]:
    """Return the epochs of every run, and how many lie between validations.

    Raises:
        InputError: they differ, or the runs cannot be compared.
    """
    keys, found = cells_and_seeds(jobs), dict[str, Overrides]()
    for job in jobs:
        found.setdefault(keys[identity(job, CHANGEABLE)][0], job)
    configs = {cell: compose(job) for cell, job in found.items()}
    for cell, config in configs.items():
        if not config.fit or config.monitor != "val/AP" or config.data.fold is not None:
            raise InputError(
                f"sweep.race=true: compares AP of trained networks on one validation set, and {cell} has fit="
                f"{config.fit} monitor={config.monitor} data.fold={config.data.fold}"
            )
    lengths = {
        cell: (config.trainer.max_epochs, config.trainer.check_val_every_n_epoch) for cell, config in configs.items()
    }
    if len(set(lengths.values())) > 1:
        (first, own), (other, theirs) = next(pair for pair in pairwise(lengths.items()) if pair[0][1] != pair[1][1])
        raise InputError(
            f"sweep.race=true: cells are compared at the same epochs, but {first} has {own[0]} and {other} "
            f"{theirs[0]}, validated every {own[1]} and {theirs[1]}; give both the same, as in model.epochs=60"
        )
    return next(iter(lengths.values()))
