"""How far each job of a sweep is, from the files that the jobs write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from lynx_pose.errors import InputError
from lynx_pose.run_folder import RunFolder, read_json_file
from lynx_pose.sweeps.plan import Identity, combinations, identity, overrides_of, with_params
from lynx_pose.sweeps.record import job_folders


@dataclass(frozen=True)
class JobState:
    """One job of a sweep.

    Args:
        name: of its folder; empty while it has none.
        options: those of its overrides that not all jobs of the sweep have.
        status: waiting, running, completed, failed or interrupted.
        epoch: how many are done.
        epochs: how many there will be.
        ap: the best so far.
        images_per_second: while training.
        seconds_left: estimated.
        error: first line of what went wrong.
    """

    name: str
    options: str
    status: str
    epoch: int = 0
    epochs: int | None = None
    ap: float | None = None
    images_per_second: float | None = None
    seconds_left: float | None = None
    error: str = ""

    @property
    def awaited(self) -> bool:
        """Whether it is still to end."""
        return self.status in ("waiting", "running")


def read_states(sweep: Path) -> list[JobState]:
    """Return the state of every job of a sweep: those that have begun, then those that wait.

    Raises:
        InputError: the folder is not that of a sweep.
    """
    plan = sweep / "multirun.yaml"
    if not plan.is_file():
        raise InputError(f"{sweep}: is not the folder of a sweep (it has no multirun.yaml)")
    begun = {identity(overrides_of(folder)): folder for folder in job_folders(sweep)}
    hydra = OmegaConf.load(plan).hydra
    given = with_params(OmegaConf.select(hydra, "sweeper.params") or {}, hydra.overrides.task)
    planned = combinations(OverridesParser.create().parse_overrides(given))
    waiting = [job for job in map(identity, planned) if job not in begun]
    common = frozenset.intersection(*begun, *waiting)
    states = [_state(folder, _options(job - common)) for job, folder in begun.items()]
    return states + [JobState("", _options(job - common), "waiting") for job in waiting]


def _options(overrides: Identity) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(overrides))


def _state(folder: RunFolder, options: str) -> JobState:
    summary = folder.read_summary()
    progress: dict[str, Any] = read_json_file(folder.progress) if folder.progress.is_file() else {}
    status = summary["status"]
    if status == "running" and not folder.is_held():
        # Killed before it could say so.
        status = "interrupted"
    return JobState(
        name=folder.path.name,
        options=options,
        status=status,
        epoch=progress.get("epoch", -1) + 1,
        epochs=progress.get("epochs"),
        ap=summary.get("best", {}).get("AP", progress.get("AP")),
        images_per_second=progress.get("images_per_second"),
        seconds_left=progress.get("seconds_left") if status == "running" else None,
        error=str(summary.get("error", "")).split("\n")[0] if status == "failed" else "",
    )
