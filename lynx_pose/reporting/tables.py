"""Tables: architecture × augmentation, and the thesis's own beside ours; as HTML cells, Markdown and CSV."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table as RichTable

from lynx_pose.metrics.object_scale import box_area, polygon_area
from lynx_pose.metrics.pck import correct_predictions
from lynx_pose.reporting.published import PublishedTable, PublishedThresholds
from lynx_pose.reporting.run_results import Run
from lynx_pose.reporting.validation_poses import Validation

NOTHING = "–"
# What tables show of groups of animals, and with how many digits.
DIGITS = {"AP": 4, "PCK@0.05": 3, "PCK@0.10": 3, "median_error_px": 1}


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Args:
        text: what is shown: a number, or what stands in place of one.
        value: the number; None where there is none.
        detail: where it comes from.
        best_of_row: highest of its row.
        best_of_column: highest of its column.
    """

    text: str
    value: float | None = None
    detail: str = ""
    best_of_row: bool = False
    best_of_column: bool = False


def estimate_cells(metrics: Mapping[str, Any], names: Sequence[str]) -> list[Cell]:
    """Return cells of metrics with their intervals, from what `group_metrics` gives of a group."""
    cells = []
    for name in names:
        value, low, high = (metrics[name][key] for key in ("value", "low", "high"))
        digits = DIGITS[name]
        interval = "" if low is None else f"{low:.{digits}f} to {high:.{digits}f}"
        cells.append(Cell(f"{value:.{digits}f}", value, interval))
    return cells


def heading(name: str) -> str:
    """Return a metric's name as a column's: `median error, px` of `median_error_px`."""
    return name.replace("_", " ").replace(" px", ", px")


@dataclass(frozen=True)
class Row:
    """One row; `published` if its numbers are the thesis's and not ours."""

    name: str
    cells: tuple[Cell, ...]
    published: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        key: name of its file, and of its place on the page.
        title: above it.
        columns: names.
        rows: of cells, one a column.
        note: what its numbers are.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


def ap_table(runs: Sequence[Run]) -> Table:
    """Arrange runs by row and augmentation; a run that is not completed gives no number, only a note."""
    columns = tuple(dict.fromkeys(run.augmentation for run in runs))
    names = tuple(dict.fromkeys(run.row for run in runs))
    rows = [Row(name, tuple(_ap_cell(runs, name, column) for column in columns)) for name in names]
    note = (
        "COCO keypoint AP over OKS 0.50:0.05:0.95 on the validation set, of each run's best epoch; epochs count "
        "from 0. Of several seeds or folds, mean ± standard deviation."
    )
    return Table("ap", "Best validation AP", columns, _marked(rows), note)


def published_ap_table(runs: Sequence[Run], published: PublishedTable) -> Table | None:
    """Set our results beside a published table's, in those of its columns that the runs have; None without any."""
    ours = {run.augmentation for run in runs}
    columns = tuple(column for column in published.columns if column in ours)
    if not columns:
        return None
    names = tuple(dict.fromkeys(run.row for run in runs))
    own = [Row(name, tuple(_ap_cell(runs, name, column) for column in columns)) for name in names]
    theirs = [
        Row(f"{model}, published", tuple(Cell(f"{row[column]:.4f}", row[column]) for column in columns), True)
        for model, row in published.rows.items()
    ]
    note = (
        f"Rows marked published are from {published.title.split(':')[0]} of the thesis: Lynx-Pose images, one run "
        "each, starting from Animal-Pose weights. Only runs on the same images and split can be compared to them."
    )
    return Table(published.key, published.title, columns, (*_marked(own), *_marked(theirs)), note)


def predictions_table(
    runs: Sequence[Run], validation: Validation | None, published: PublishedThresholds
) -> Table | None:
    """Return percentages of correct predictions at the thresholds of the published Table 5.

    Args:
        runs: ours.
        validation: their poses; without, there is no table.
        published: the thesis's, whose rows stand beside ours.
    """
    chosen = stages(validation.of(runs)) if validation else []
    if validation is None or not chosen:
        return None
    rows = []
    for row, name, run in chosen:
        poses = validation[run]
        shares = 100 * correct_predictions(poses.distances, poses.visible, published.thresholds)
        rows.append(Row(f"{row}, {name} ({run.label})", tuple(Cell(f"{share:.2f}", float(share)) for share in shares)))
    note = (
        "Percentage of animals whose annotated keypoints are all nearer to their place than the threshold in pixels of "
        "the image (Equation 12)."
    )
    if published.rows:
        note += " Rows marked published are from Table 5 of the thesis."
        rows += [
            Row(f"{model}, {name}, published", tuple(Cell(f"{value:.2f}", value) for value in values), True)
            for model, named in published.rows.items()
            for name, values in named.items()
        ]
    columns = tuple(f"t = {threshold:g}" for threshold in published.thresholds)
    return Table(published.key, published.title, columns, tuple(rows), note)


def scale_table(runs: Sequence[Run], validation: Validation | None) -> Table | None:
    """Return AP of the same poses by what OKS takes for the animal's size; None without poses or outlines."""
    if validation is None or any(len(record.polygon) < 6 for record in validation.records):
        return None
    rows = []
    for run in runs:
        if run in validation:
            poses = validation[run]
            areas = (box_area(poses.records), polygon_area(poses.records))
            sigmas = validation.annotations.skeleton.sigmas
            values = [replace(poses, areas=area).coco_metrics(sigmas)["AP"] for area in areas]
            rows.append(Row(run.label, tuple(Cell(f"{value:.4f}", value) for value in values)))
    note = (
        "The same poses of each run's best epoch. The outline has less area than the box, so OKS by it is stricter; "
        "object_scale= chooses. The thesis names segment area for mAP, and its annotations carry polygons."
    )
    return Table("object_scale", "AP by the animal's size in OKS", ("box", "polygon"), tuple(rows), note)


def stages(runs: Sequence[Run]) -> list[tuple[str, str, Run]]:
    """Choose for each row the runs that Table 5 and Figures 37 to 42 compare: baseline, no augmentation, best.

    Returns:
        (row, stage, run); stages that were not run are missing. Of several seeds the first stands for all.
    """
    finished = [run for run in runs if run.completed and run.best]
    chosen: list[tuple[str, str, Run]] = []
    for row in dict.fromkeys(run.row for run in finished):
        own = [run for run in finished if run.row == row]
        for name in ("baseline", "none"):
            chosen += [(row, name, run) for run in own if run.augmentation == name][:1]
        trained = [run for run in own if run.augmentation not in ("baseline", "none")]
        chosen += [(row, "best", run) for run in sorted(trained, key=lambda run: -run.best["AP"])[:1]]
    return chosen


def _ap_cell(runs: Sequence[Run], row: str, augmentation: str) -> Cell:
    matching = [run for run in runs if run.row == row and run.augmentation == augmentation]
    finished = [run for run in matching if run.completed and run.best]
    if not finished:
        states = sorted({str(run.summary["status"]) for run in matching})
        return Cell(", ".join(states) or NOTHING)
    values = [run.best["AP"] for run in finished]
    missing = f", {len(matching) - len(finished)} not completed" if len(finished) < len(matching) else ""
    if len(values) == 1:
        epoch = int(finished[0].best["epoch"])
        return Cell(f"{values[0]:.4f}", values[0], (f"epoch {epoch}" if epoch >= 0 else "untrained") + missing)
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return Cell(f"{mean:.4f}", mean, f"± {deviation:.4f}, {len(values)} runs{missing}")


def _marked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Mark the best number of each row and of each column."""
    columns = list(zip(*(row.cells for row in rows), strict=True))
    best_of_columns = [_highest(column) for column in columns]
    return tuple(
        replace(
            row,
            cells=tuple(
                replace(
                    cell,
                    best_of_row=cell.value is not None and cell.value == _highest(row.cells),
                    best_of_column=cell.value is not None and cell.value == best,
                )
                for cell, best in zip(row.cells, best_of_columns, strict=True)
            ),
        )
        for row in rows
    )


def _highest(cells: Iterable[Cell]) -> float | None:
    """Return the highest number above 0; None where no other is compared with it."""
    values = [cell.value for cell in cells if cell.value is not None]
    return max(values) if len(values) > 1 and max(values) > 0 else None


def to_markdown(table: Table) -> str:
    """Return the table in Markdown: bold is the best of a row, italic the best of a column."""
    lines = [
        f"## {table.title}",
        "",
        "| | " + " | ".join(table.columns) + " |",
        "|---" * (len(table.columns) + 1) + "|",
        *(f"| {row.name} | " + " | ".join(_markdown_cell(cell) for cell in row.cells) + " |" for row in table.rows),
    ]
    return "\n".join([*lines, "", table.note, ""]).replace("\n\n\n", "\n\n")


def _markdown_cell(cell: Cell) -> str:
    text = cell.text
    if cell.best_of_column:
        text = f"*{text}*"
    if cell.best_of_row:
        text = f"**{text}**"
    return f"{text} ({cell.detail})" if cell.detail else text


def to_terminal(table: Table) -> RichTable:
    """Lay a table out for a terminal, which is high rather than wide: the longer side goes down."""
    names, grid = [row.name for row in table.rows], [row.cells for row in table.rows]
    columns = list(table.columns)
    if len(columns) > len(names):
        names, columns, grid = columns, names, list(zip(*grid, strict=True))
    shown = RichTable("best AP", *columns)
    for name, cells in zip(names, grid, strict=True):
        shown.add_row(name, *(f"{cell.text} ({cell.detail})" if cell.detail else cell.text for cell in cells))
    return shown


def to_csv(table: Table) -> str:
    """Return the table as CSV: one line a row, and for each column its number and where it comes from."""
    details = any(cell.detail for row in table.rows for cell in row.cells)
    header = ["row", "published", *(name for column in table.columns for name in _csv_columns(column, details))]
    lines: list[list[Any]] = [header]
    for row in table.rows:
        line: list[Any] = [row.name, row.published]
        for cell in row.cells:
            # In full precision; what stands in place of a number as it is.
            line += [cell.text if cell.value is None else cell.value, *([cell.detail] if details else [])]
        lines.append(line)
    return _csv_text(lines)


def _csv_columns(column: str, details: bool) -> list[str]:
    name = re.sub(r"\s*=\s*", "=", column)
    return [name, f"{name} detail"] if details else [name]


METRICS = ("AP", "AP50", "AP75", "AR", "AP_eq18", "mean_error_px", "median_error_px")


def runs_csv(runs: Sequence[Run]) -> str:
    """Return one row a run, with the metrics of its best epoch."""
    lines: list[list[Any]] = [["run", "row", "model", "augmentation", "seed", "status", "epoch", *METRICS, "seconds"]]
    for run in runs:
        metrics = [run.best.get(name) for name in ("epoch", *METRICS)]
        status, seconds = run.summary["status"], run.summary.get("seconds")
        lines.append([run.label, run.row, run.model, run.augmentation, run.seed, status, *metrics, seconds])
    return _csv_text(lines)


def _csv_text(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
