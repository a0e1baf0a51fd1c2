"""Keeps sweep.json: every job of a sweep with its overrides, status and summary."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lynx_pose.errors import InputError
from lynx_pose.files import write_json
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)


def job_folders(sweep: Path) -> list[RunFolder]:
    """Return the folders of a sweep's jobs, in the order of their numbers.

    A folder whose configuration is damaged is named and left out, so that it stops no other.
    """
    folders = []
    for config in sweep.glob("*/.hydra/config.yaml"):
        folder = RunFolder(config.parent.parent)
        with _left_out_if_damaged():
            # Whose code its configuration names is judged where the code would run.
            folder.read_config(trust=True)
            folders.append(folder)
    return sorted(folders, key=lambda folder: (job_number(folder.path.name), folder.path.name))


def started_jobs(sweep: Path) -> list[tuple[list[str], RunFolder]]:
    """Return the overrides and the folder of each job that has begun; as `job_folders`."""
    jobs = []
    for folder in job_folders(sweep):
        with _left_out_if_damaged():
            jobs.append((overrides_of(folder), folder))
    return jobs


@contextmanager
def _left_out_if_damaged() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        log.warning("%s; the job is left out", error)


def overrides_of(folder: RunFolder) -> list[str]:
    """Return the overrides that a job was started with.

    Raises:
        InputError: its folder does not say.
    """
    try:
        overrides = OmegaConf.load(folder.overrides)
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{folder.overrides}: is damaged ({str(error).splitlines()[0]})") from None
    if not isinstance(overrides, ListConfig):
        raise InputError(f"{folder.overrides}: is damaged (it is no list)")
    return [str(override) for override in overrides]


def job_number(name: str) -> int:
    """Return the number at the beginning of a job's folder name; names without one come last."""
    number = name.split("-")[0]
    return int(number) if number.isdigit() else 10**9


def read_sweep(sweep: Path) -> list[dict[str, Any]]:
    """Return each job's folder, status and summary, from what the jobs wrote."""
    jobs = []
    for folder in job_folders(sweep):
        summary = folder.read_summary()
        jobs.append(
            {
                "folder": folder.path.name,
                "name": summary.get("name", folder.path.name),
                "overrides": summary.get("overrides", []),
                "status": summary["status"],
                "summary": summary,
            }
        )
    return jobs


def newest_sweep(root: Path) -> Path:
    """Return the sweep folder that was started last under `multirun/`."""
    sweeps = sorted(root.glob("*/*/sweep.json"), key=lambda path: path.parent.as_posix())
    if not sweeps:
        raise InputError(f"{root}: no sweep in it yet; start one with python -m lynx_pose.train -m, or give its folder")
    return sweeps[-1].parent


def write_sweep(sweep: Path) -> None:
    """Write sweep.json as the jobs' folders are now."""
    write_json(sweep / "sweep.json", {"jobs": read_sweep(sweep)})


class SweepRecord(Callback):
    """Keeps sweep.json up to date while a sweep runs."""

    def on_job_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Add a job's result; single runs have no sweep."""
        if config.hydra.mode.name == "MULTIRUN":
            write_sweep(Path(config.hydra.sweep.dir))
