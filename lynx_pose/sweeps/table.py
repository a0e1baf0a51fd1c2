"""The table that `python -m lynx_pose.sweeps` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from lynx_pose.sweeps.states import JobState

COLOURS = {"completed": "green", "failed": "red", "interrupted": "yellow", "running": "cyan", "waiting": "dim"}


def states_table(folder: Path, states: Sequence[JobState]) -> Table:
    """Lay out a sweep's jobs, one a row."""
    counts = Counter(state.status for state in states)
    title = f"{folder}: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    table = Table(title=escape(title), title_justify="left")
    for name in ("job", "options", "state"):
        table.add_column(name)
    for name in ("epoch", "best AP", "images/s", "left"):
        table.add_column(name, justify="right")
    table.add_column("error", overflow="fold")
    for state in states:
        table.add_row(*_cells(state))
    return table


def _cells(state: JobState) -> list[str]:
    colour = COLOURS[state.status]
    return [
        escape(state.name),
        escape(state.options),
        f"[{colour}]{state.status}[/{colour}]",
        f"{state.epoch}/{state.epochs}" if state.epochs is not None else "",
        f"{state.ap:.4f}" if state.ap is not None else "",
        f"{state.images_per_second:.0f}" if state.images_per_second is not None else "",
        str(timedelta(seconds=round(state.seconds_left))) if state.seconds_left is not None else "",
        escape(state.error),
    ]
