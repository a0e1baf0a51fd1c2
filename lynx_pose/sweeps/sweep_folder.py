"""Keeps sweep.json: every job of a sweep with its overrides, status and summary."""

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps import _job_folder
from lynx_pose.errors import InputError
from lynx_pose.files import write_json
from lynx_pose.training.run_folder import RunFolder


def job_folders(sweep: Path) -> list[RunFolder]:
    """Return the folders of a sweep's jobs, in the order of their numbers, without those that are damaged."""
    return [RunFolder(path) for path in _job_folder.job_folders(sweep)]


def started_jobs(sweep: Path) -> list[tuple[list[str], RunFolder]]:
    """Return the overrides and the folder of each job that has begun; as `job_folders`."""
    return [(overrides, RunFolder(path)) for overrides, path in _job_folder.started_jobs(sweep)]


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
