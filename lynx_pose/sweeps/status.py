"""How far each job of a sweep is: what `python -m lynx_pose.sweeps` shows."""

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from hydra_plugins.resuming_sweeps._plan import Identity, combinations, identity, with_params
from lynx_pose.errors import InputError
from lynx_pose.files import read_json
from lynx_pose.sweeps.pose_application import CHANGEABLE
from lynx_pose.sweeps.sweep_folder import newest_sweep, started_jobs
from lynx_pose.training.run_folder import RunFolder

COLOURS = {
    "completed": "green",
    "failed": "red",
    "interrupted": "yellow",
    "pruned": "blue",
    "paused": "cyan",
    "running": "cyan",
    "waiting": "dim",
}


@dataclass(frozen=True)
class JobState:
    """One job of a sweep.

    Args:
        name: of its folder, a number first; empty while it has none.
        options: those of its overrides that not all jobs of the sweep have.
        status: waiting, running, paused, completed, pruned, failed or interrupted.
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
    def is_active(self) -> bool:
        """Whether it is still to end."""
        return self.status in ("waiting", "running")


def watch(sweep: str, once: bool) -> None:
    """Show a sweep's table; on a terminal, follow it until no job waits or runs.

    Args:
        sweep: its folder, or `latest`.
        once: show the table as it is now.

    Raises:
        InputError: the folder is not that of a sweep.
    """
    folder = newest_sweep(Path("multirun")) if sweep == "latest" else Path(sweep)
    console = Console()
    states = read_states(folder)
    if once or not console.is_terminal:
        console.print(states_table(folder, states))
        return
    with Live(states_table(folder, states), console=console, auto_refresh=False) as live:
        while any(state.is_active for state in states):
            time.sleep(2)
            states = read_states(folder)
            live.update(states_table(folder, states), refresh=True)


def log_end(folder: Path) -> None:
    """Show what became of a sweep's jobs, and how to compare them."""
    console = Console(stderr=True)
    console.print(states_table(folder, read_states(folder)))
    console.print(
        f"python -m lynx_pose.report {shlex.quote(str(folder))}", soft_wrap=True, markup=False, highlight=False
    )


def read_states(sweep: Path) -> list[JobState]:
    """Return the state of every job of a sweep: those that have begun, then those that wait.

    Raises:
        InputError: the folder is not that of a sweep.
    """
    plan = sweep / "multirun.yaml"
    if not plan.is_file():
        raise InputError(f"{sweep}: is not the folder of a sweep (it has no multirun.yaml)")
    begun = {identity(overrides, CHANGEABLE): folder for overrides, folder in started_jobs(sweep)}
    hydra = OmegaConf.load(plan).hydra
    waiting: list[Identity] = []
    # A search decides its trials as it goes.
    if OmegaConf.select(hydra, "sweeper.objectives") is None:
        given = with_params(OmegaConf.select(hydra, "sweeper.params") or {}, hydra.overrides.task)
        planned = combinations(OverridesParser.create().parse_overrides(given))
        waiting = [job for job in (identity(one, CHANGEABLE) for one in planned) if job not in begun]
    common = frozenset.intersection(*begun, *waiting) if begun or waiting else frozenset()
    states = [_state(folder, _options(job - common)) for job, folder in begun.items()]
    if (sweep / "race.json").is_file() and read_json(sweep / "race.json")["placings"]:
        # The race has ended without them.
        return states
    return states + [JobState("", _options(job - common), "waiting") for job in waiting]


def _options(overrides: Identity) -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(overrides))


def _state(folder: RunFolder, options: str) -> JobState:
    summary = folder.read_summary()
    progress: dict[str, Any] = read_json(folder.progress) if folder.progress.is_file() else {}
    status = summary["status"]
    if status == "running" and not folder.is_locked():
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


def states_table(folder: Path, states: Sequence[JobState]) -> Table:
    """Lay out a sweep's jobs, one a row."""
    counts = Counter(state.status for state in states)
    title = f"{folder}: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    found = _search(folder)
    table = Table(title=escape(title), title_justify="left", caption=escape(found), caption_justify="left")
    # Folded, because what tells jobs apart may be at the end.
    for name in ("job", "options", "state"):
        table.add_column(name, overflow="fold")
    for name in ("epoch", "best AP", "images/s", "left"):
        table.add_column(name, justify="right")
    table.add_column("error", overflow="fold")
    for state in states:
        table.add_row(*_cells(state))
    return table


def _search(folder: Path) -> str:
    if not (folder / "study.log").is_file():
        return ""
    # Imported here, because only searches need Optuna.
    from hydra_plugins.resuming_sweeps._search import describe_search

    return describe_search(folder)


def _cells(state: JobState) -> list[str]:
    colour = COLOURS[state.status]
    return [
        # The rest of its folder's name says what the options say.
        state.name.partition("-")[0],
        escape(state.options),
        f"[{colour}]{state.status}[/{colour}]",
        f"{state.epoch}/{state.epochs}" if state.epochs is not None else "",
        f"{state.ap:.4f}" if state.ap is not None else "",
        f"{state.images_per_second:.0f}" if state.images_per_second is not None else "",
        str(timedelta(seconds=round(state.seconds_left))) if state.seconds_left is not None else "",
        escape(state.error),
    ]
