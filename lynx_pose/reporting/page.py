"""The page itself: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lynx_pose.reporting.curves import ap_curves
from lynx_pose.reporting.pictures import picture_rows
from lynx_pose.reporting.runs import Run, find_runs
from lynx_pose.reporting.table import Table, make_table, to_csv, to_markdown
from lynx_pose.run_folder import write_text

PICTURES = 6


def write_report(sweeps: Sequence[Path]) -> tuple[Path, list[Run], Table]:
    """Write report.html, report.md and report.csv into the first folder.

    Args:
        sweeps: folders of sweeps or runs; their runs share one table.

    Returns:
        The page's path, the runs, and the table.
    """
    runs = find_runs(sweeps)
    table = make_table(runs)
    folder = sweeps[0]
    write_text(folder / "report.html", render(runs, table))
    write_text(folder / "report.md", to_markdown(table))
    write_text(folder / "report.csv", to_csv(runs))
    return folder / "report.html", runs, table


def render(runs: Sequence[Run], table: Table) -> str:
    """Return the page's HTML."""
    environment = Environment(
        loader=PackageLoader("lynx_pose.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        table=table,
        runs=runs,
        data=_data(runs),
        readings=sorted({_geometry_reading(run) for run in runs}),
        curves=ap_curves([run for run in runs if run.curve]),
        picture_rows=picture_rows(runs, PICTURES),
    )


def _data(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what the runs say of their dataset; a run that failed early says nothing."""
    return next((run.summary["data"] for run in runs if "data" in run.summary), {})


def _geometry_reading(run: Run) -> str:
    """Name the reading of the geometric augmentation, the tool's or the text's."""
    choices = run.summary.get("choices", {})
    return str(choices.get("aug/geometry", "none"))
