"""Which jobs a sweep has, and which of them are left to run."""

import functools
import itertools
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from rich.progress import track

from lynx_pose.config import WITHOUT_EFFECT, changed_options, is_under
from lynx_pose.errors import InputError
from lynx_pose.sweeps.job import MANY
from lynx_pose.sweeps.sweep_folder import job_number, started_jobs
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)
# What may differ between a sweep and the command that resumes it, because it has no part in the results.
CHANGEABLE = (*WITHOUT_EFFECT, "trainer.enable_progress_bar")
# What names and tables say otherwise.
NAMED = ("model", "aug", "column", "variant", "name")
LONGEST_SUFFIX = 120
Overrides = list[str]
# What tells a job from the others of its sweep.
Identity = frozenset[tuple[str, str]]
Compose = Callable[[Overrides], DictConfig]


def require_one_process() -> None:
    """Refuse to sweep in several processes at once.

    Raises:
        InputError: torchrun or srun started several.
    """
    step = "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", 1)) > 1
    if step or "TORCHELASTIC_RUN_ID" in os.environ:
        raise InputError(
            "torchrun and srun start the processes of one run. Start a sweep in one process, and give each of its jobs "
            "several with trainer=ddp trainer.devices=2, or make it SLURM jobs with hydra/launcher=slurm"
        )


def require_budget_of_race(sweep: DictConfig) -> None:
    """Refuse a budget without a race that could keep to it.

    Raises:
        InputError: there is one.
    """
    if sweep.hours is not None and not (sweep.race and sweep.hours > 0):
        raise InputError(f"sweep.hours={sweep.hours}: hours, above 0, are the budget of sweep.race=true")


def with_params(params: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Return what a sweep's configuration and its command line sweep over, the second after the first."""
    return [*(f"{key}={value}" for key, value in params.items()), *arguments]


def combinations(overrides: list[Override]) -> list[Overrides]:
    """Return the overrides of each job: all combinations of the values that the command line gives."""
    (jobs,) = BasicSweeper.split_arguments(overrides, None)
    # Values that are given twice make one job, because two would be told apart by nothing.
    return [list(job) for job in dict.fromkeys(map(tuple, jobs))]


def with_suffixes(jobs: Sequence[Overrides]) -> list[Overrides]:
    """Have each job's name say what tells it from the others beside model and augmentation, as in -lr_0.001-seed_2."""
    values = _values([identity(job) for job in jobs])
    # Another backbone is another architecture, also where all jobs have it.
    shown = [key for key, own in values.items() if key not in NAMED and (len(own) > 1 or key == "model.backbone.name")]
    return [[*job, *_suffix(job, shown)] for job in jobs]


def _suffix(job: Overrides, shown: Sequence[str]) -> Overrides:
    """Return the override that has a job's name say these of its options; none where there are none."""
    pairs = [override.partition("=")[::2] for override in job]
    parts = [f"-{key.rsplit('.', 1)[-1]}_{value}" for key, value in pairs if key.lstrip("+~") in shown]
    # Without = a folder's name can be typed as it is.
    suffix = re.sub(r"[^\w.,+-]+", "_", "".join(parts))[:LONGEST_SUFFIX]
    return [f"sweep.suffix='{suffix}'"] if suffix else []


def trial_job(fixed: Overrides, drawn: Overrides, config: DictConfig, number: int) -> Overrides:
    """Return the overrides of a trial of a search, with its place in the sweep's folder.

    Args:
        fixed: that all trials have.
        drawn: of this trial.
        config: of the sweep.
        number: of the trial.
    """
    shown = [key for key in (override.partition("=")[0] for override in drawn) if key not in NAMED]
    placed = _placed(Path(config.hydra.sweep.dir), _folder_name(config, number))
    return [*fixed, *drawn, f"sweep.trial={number}", *_suffix(drawn, shown), *placed]


def jobs_to_run(jobs: list[Overrides], config: DictConfig, compose: Compose) -> list[Overrides]:
    """Return the overrides of the jobs that are not completed: all of them in a new sweep.

    In a resumed sweep each job keeps its folder, and new ones get the next numbers.

    Args:
        jobs: overrides of each job of the command line.
        config: of the sweep, with Hydra's part.
        compose: makes the configuration of a job from its overrides.

    Raises:
        InputError: the sweep that is resumed was made of something else; it names the keys.
    """
    if config.sweep.resume is None:
        return jobs
    folder = Path(config.hydra.sweep.dir)
    earlier = {identity(overrides): run for overrides, run in started_jobs(folder)}
    if not (folder / "multirun.yaml").is_file():
        raise InputError(f"sweep.resume={config.sweep.resume}: {folder} holds no sweep")
    if earlier:
        _require_same_keys([identity(job) for job in jobs], list(earlier))
    numbers = _free_numbers(folder)
    left = []
    for job in track(jobs, f"comparing {len(jobs)} jobs with the sweep's", disable=len(jobs) < MANY):
        run = earlier.get(identity(job))
        if run is None:
            left.append([*job, *_placed(folder, _folder_name(config, next(numbers)))])
        elif _is_incomplete(run, compose(job)):
            left.append([*job, *_placed(folder, run.path.name)])
    log.info("%s: %d of %d jobs are left to run", folder, len(left), len(jobs))
    return left


def placed_jobs(jobs: Sequence[Overrides], config: DictConfig) -> list[Overrides]:
    """Return all jobs of a grid, each with its folder: the one that it has, or one with the next number.

    Args:
        jobs: overrides of each.
        config: of the sweep, with Hydra's part.
    """
    folder = Path(config.hydra.sweep.dir)
    earlier = {identity(overrides): run for overrides, run in started_jobs(folder)}
    numbers = _free_numbers(folder)
    named = ((job, earlier.get(identity(job))) for job in jobs)
    return [
        [*job, *_placed(folder, run.path.name if run else _folder_name(config, next(numbers)))] for job, run in named
    ]


def _free_numbers(folder: Path) -> Iterator[int]:
    """Return numbers that no job of a sweep has, whether its folder can be read or not."""
    taken = (
        [job_number(path.name) for path in folder.iterdir() if (path / ".hydra").is_dir()] if folder.is_dir() else []
    )
    return itertools.count(max(taken, default=-1) + 1)


def _is_incomplete(run: RunFolder, config: DictConfig) -> bool:
    """Whether an earlier job is not completed.

    Raises:
        InputError: it was made of something else, or is running at this moment.
    """
    # Only compared: what runs is what was typed.
    then = run.read_config(trust=True)
    differing = changed_options(config, then, CHANGEABLE)
    if differing:
        raise InputError(
            f"sweep.resume: {run.path.name} was configured differently in {', '.join(differing)}. Resume the sweep "
            "with the options and the configuration files that it was started with, or start a new one"
        )
    if run.is_locked():
        raise InputError(f"sweep.resume: {run.path} is being trained at this moment; wait for it or stop it")
    summary = run.read_summary()
    _require_same_data(run, summary, config)
    return bool(summary["status"] != "completed")


def _require_same_data(run: RunFolder, summary: dict[str, Any], config: DictConfig) -> None:
    """Refuse annotations other than those that an earlier job saw."""
    then = summary.get("data", {}).get("fingerprint")
    now = _fingerprint(OmegaConf.to_yaml(config.data, resolve=True)) if then else None
    if now != then:
        raise InputError(
            f"sweep.resume: the annotations of data={config.data.name} have changed since {run.path.name} saw them "
            f"(fingerprint {then}, now {now}). Resume the sweep with the files that it was started with, or start a "
            "new one"
        )


@functools.cache
def _fingerprint(data: str) -> str:
    """Return the fingerprint of the dataset that a configuration, as YAML, describes."""
    # Imported here: a sweep that is not resumed does without torch in its own process.
    from lynx_pose.training.build import read_annotations

    return read_annotations(OmegaConf.create({"data": OmegaConf.create(data)})).fingerprint


def identity(overrides: Overrides) -> Identity:
    """Return what tells a job from the others of its sweep: its overrides, in no order."""
    pairs = (override.partition("=") for override in overrides)
    return frozenset((key, value) for key, _, value in pairs if not is_under(key.lstrip("+~"), CHANGEABLE))


def _require_same_keys(now: Sequence[Identity], then: Sequence[Identity]) -> None:
    """Refuse a command whose options, other than values that are swept over, are not those of the sweep."""
    new, old = _values(now), _values(then)
    differing = [
        key
        for key in sorted({*new, *old})
        if new.get(key) != old.get(key) and (key not in new or key not in old or len(new[key]) == len(old[key]) == 1)
    ]
    if differing:
        raise InputError(
            f"sweep.resume: this command and the sweep differ in {', '.join(differing)}. Repeat the sweep's own "
            "options; to add jobs, give more values to those that it sweeps over"
        )


def _values(jobs: Sequence[Identity]) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for job in jobs:
        for key, value in job:
            values.setdefault(key, set()).add(value)
    return values


def _folder_name(config: DictConfig, number: int) -> str:
    """Return the pattern of folder names with a number in place of Hydra's own count."""
    pattern: str = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # type: ignore[call-overload,index]  # a dict
    return pattern.replace("${hydra:job.num}", str(number))


def _placed(folder: Path, name: str) -> Overrides:
    """Return the overrides that give a job its folder within the sweep's."""

    return [f"hydra.sweep.dir={quoted(str(folder))}", f"hydra.sweep.subdir={quoted(name)}"]


def quoted(value: str) -> str:
    """Return a value as Hydra reads it whatever characters it has."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
