"""Which jobs a sweep has, and which of them are left to run."""

import itertools
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf
from rich.progress import track

from hydra_plugins.resuming_sweeps._application import Application, Overrides
from hydra_plugins.resuming_sweeps._job import MANY
from hydra_plugins.resuming_sweeps._job_folder import RECORD, JobFolder, job_number, started_jobs
from hydra_plugins.resuming_sweeps._option_keys import is_under

log = logging.getLogger(__name__)
LONGEST_SUFFIX = 120
# What tells a job from the others of its sweep.
Identity = frozenset[tuple[str, str]]
Compose = Callable[[Overrides], DictConfig]


def require_one_process() -> None:
    """Refuse to sweep in several processes at once.

    Raises:
        CompactHydraException: torchrun or srun started several.
    """
    step = "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", 1)) > 1
    if step or "TORCHELASTIC_RUN_ID" in os.environ:
        raise CompactHydraException(
            "torchrun and srun start the processes of one run. Start a sweep in one process: each of its jobs may have "
            "several, or be a SLURM job with hydra/launcher=slurm"
        )


def with_params(params: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
    """Return what a sweep's configuration and its command line sweep over, the second after the first."""
    return [*(f"{key}={value}" for key, value in params.items()), *arguments]


def combinations(overrides: list[Override]) -> list[Overrides]:
    """Return the overrides of each job: all combinations of the values that the command line gives.

    Raises:
        CompactHydraException: an option has an interval, not values.
    """
    values: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            values[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            values[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise CompactHydraException(f"{override.input_line}: an interval is for a search, not for a grid")
    # Values that are given twice make one job, because two would be told apart by nothing.
    return [list(job) for job in dict.fromkeys(itertools.product(*values.values()))]


def with_suffixes(jobs: Sequence[Overrides], application: Application) -> list[Overrides]:
    """Have each job's name say what tells it from the others beside what it says anyway, as in -lr_0.001-seed_2."""
    values = _values([identity(job, application.without_effect) for job in jobs])
    shown = [key for key, own in values.items() if application.is_shown(key, len(own) > 1)]
    return [[*job, *_suffix(job, shown, application)] for job in jobs]


def _suffix(job: Overrides, shown: Sequence[str], application: Application) -> Overrides:
    """Return the override that has a job's name say these of its options; none where there are none."""
    if application.suffix_option is None:
        return []
    pairs = [override.partition("=")[::2] for override in job]
    parts = [f"-{key.rsplit('.', 1)[-1]}_{value}" for key, value in pairs if key.lstrip("+~") in shown]
    # Without = a folder's name can be typed as it is.
    suffix = re.sub(r"[^\w.,+-]+", "_", "".join(parts))[:LONGEST_SUFFIX]
    return [f"{application.suffix_option}='{suffix}'"] if suffix else []


def trial_job(
    fixed: Overrides, drawn: Overrides, config: DictConfig, number: int, application: Application
) -> Overrides:
    """Return the overrides of a trial of a search, with its place in the sweep's folder.

    Args:
        fixed: that all trials have.
        drawn: of this trial.
        config: of the sweep.
        number: of the trial.
        application: whose trial it is.
    """
    keys = [override.partition("=")[0] for override in drawn]
    shown = [key for key in keys if application.is_shown(key, varies=True)]
    numbered = [f"{application.trial_option}={number}"] if application.trial_option else []
    placed = _placed(Path(config.hydra.sweep.dir), _folder_name(config, number))
    return [*fixed, *drawn, *numbered, *_suffix(drawn, shown, application), *placed]


def jobs_left(jobs: list[Overrides], config: DictConfig, compose: Compose, application: Application) -> list[Overrides]:
    """Return the overrides of the jobs of an earlier sweep that are not completed.

    Each job keeps its folder, and new ones get the next numbers.

    Args:
        jobs: overrides of each job of the command line.
        config: of the sweep, with Hydra's part.
        compose: makes the configuration of a job from its overrides.
        application: whose jobs they are.

    Raises:
        CompactHydraException: there is no sweep, or it was made of something else; it names the keys.
    """
    folder = Path(config.hydra.sweep.dir)
    ignored = application.without_effect
    earlier = {identity(overrides, ignored): path for overrides, path in started_jobs(folder)}
    resume = f"{application.sweeper_options}.resume"
    if not (folder / "multirun.yaml").is_file():
        raise CompactHydraException(f"{resume}: {folder} holds no sweep")
    if earlier:
        _require_same_keys([identity(job, ignored) for job in jobs], list(earlier), resume)
    numbers = _free_numbers(folder)
    left = []
    for job in track(jobs, f"comparing {len(jobs)} jobs with the sweep's", disable=len(jobs) < MANY):
        path = earlier.get(identity(job, ignored))
        if path is None:
            left.append([*job, *_placed(folder, _folder_name(config, next(numbers)))])
        elif _is_incomplete(JobFolder(path, application.record or RECORD), compose(job), application):
            left.append([*job, *_placed(folder, path.name)])
    log.info("%s: %d of %d jobs are left to run", folder, len(left), len(jobs))
    return left


def placed_jobs(jobs: Sequence[Overrides], config: DictConfig, ignored: Sequence[str]) -> list[Overrides]:
    """Return all jobs of a grid, each with its folder: the one that it has, or one with the next number.

    Args:
        jobs: overrides of each.
        config: of the sweep, with Hydra's part.
        ignored: options that tell no job from another.
    """
    folder = Path(config.hydra.sweep.dir)
    earlier = {identity(overrides, ignored): path for overrides, path in started_jobs(folder)}
    numbers = _free_numbers(folder)
    named = ((job, earlier.get(identity(job, ignored))) for job in jobs)
    return [[*job, *_placed(folder, path.name if path else _folder_name(config, next(numbers)))] for job, path in named]


def _free_numbers(folder: Path) -> Iterator[int]:
    """Return numbers that no job of a sweep has, whether its folder can be read or not."""
    taken = (
        [job_number(path.name) for path in folder.iterdir() if (path / ".hydra").is_dir()] if folder.is_dir() else []
    )
    return itertools.count(max(taken, default=-1) + 1)


def _is_incomplete(job: JobFolder, config: DictConfig, application: Application) -> bool:
    """Whether an earlier job is not completed.

    Raises:
        CompactHydraException: it was made of something else, or is running at this moment.
    """
    resume = f"{application.sweeper_options}.resume"
    # Only compared: what runs is what was typed.
    differing = application.changed(config, job.read_config())
    if differing:
        raise CompactHydraException(
            f"{resume}: {job.path.name} was configured differently in {', '.join(differing)}. Resume the sweep "
            "with the options and the configuration files that it was started with, or start a new one"
        )
    if job.is_locked():
        raise CompactHydraException(f"{resume}: {job.path} is being run at this moment; wait for it or stop it")
    record = job.read_record()
    application.require_same_input(record, config)
    return bool(record["status"] != "completed")


def identity(overrides: Overrides, ignored: Sequence[str]) -> Identity:
    """Return what tells a job from the others of its sweep: its overrides, in no order, but those `ignored`."""
    pairs = (override.partition("=") for override in overrides)
    return frozenset((key, value) for key, _, value in pairs if not is_under(key.lstrip("+~"), ignored))


def _require_same_keys(now: Sequence[Identity], then: Sequence[Identity], resume: str) -> None:
    """Refuse a command whose options, other than values that are swept over, are not those of the sweep."""
    new, old = _values(now), _values(then)
    differing = [
        key
        for key in sorted({*new, *old})
        if new.get(key) != old.get(key) and (key not in new or key not in old or len(new[key]) == len(old[key]) == 1)
    ]
    if differing:
        raise CompactHydraException(
            f"{resume}: this command and the sweep differ in {', '.join(differing)}. Repeat the sweep's own "
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
