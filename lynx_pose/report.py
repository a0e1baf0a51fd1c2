"""Compare runs: python -m lynx_pose.report [sweep folder ...]."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table as RichTable

from lynx_pose.command import wants_traceback
from lynx_pose.errors import InputError

if TYPE_CHECKING:
    from lynx_pose.reporting.tables import Table


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report of one or more sweeps and print its table."""
    parser = argparse.ArgumentParser(prog="python -m lynx_pose.report", description="Compare the runs of sweeps.")
    parser.add_argument(
        "sweep", nargs="*", type=Path, help="folder of a sweep or a run; default: the newest in multirun/"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        _report(options.sweep)
    except InputError as error:
        if wants_traceback():
            raise
        sys.exit(f"{error}")


def _report(sweeps: Sequence[Path]) -> None:
    # Imported here so that --help answers at once.
    from rich.console import Console

    from lynx_pose.reporting.page import write_report
    from lynx_pose.sweeps.record import newest_sweep

    page, report = write_report(list(sweeps) or [newest_sweep(Path("multirun"))])
    table = report.tables[0]
    console = Console()
    console.print(_shown(table))
    for sentence in report.findings:
        console.print(sentence, markup=False, highlight=False)
    for run in report.runs:
        if run.summary["status"] == "failed":
            console.print(f"{run.label} failed: {run.summary.get('error')}", style="red", markup=False)
    console.print(str(page.resolve()), soft_wrap=True, markup=False, highlight=False)


def _shown(table: Table) -> RichTable:
    """Lay a table out for a terminal, which is high rather than wide: the longer side goes down."""
    names, grid = [row.name for row in table.rows], [row.cells for row in table.rows]
    columns = list(table.columns)
    if len(columns) > len(names):
        names, columns, grid = columns, names, list(zip(*grid, strict=True))
    shown = RichTable("best AP", *columns)
    for name, cells in zip(names, grid, strict=True):
        shown.add_row(name, *(f"{cell.text} ({cell.detail})" if cell.detail else cell.text for cell in cells))
    return shown


if __name__ == "__main__":
    main()
