"""The table model × augmentation, marked as in the thesis's Table 4."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lynx_pose.reporting.runs import Run


@dataclass(frozen=True)
class Cell:
    """One model under one augmentation.

    Args:
        value: best AP; of several runs their mean; None without a completed run.
        epoch: of the best AP, for a single run.
        runs: number of completed runs.
        note: what stands in place of a value.
        best_of_row: highest of its model.
        best_of_column: highest of its augmentation.
    """

    value: float | None
    epoch: int | None
    runs: int
    note: str = ""
    best_of_row: bool = False
    best_of_column: bool = False

    @property
    def text(self) -> str:
        """The value to four digits, or why there is none."""
        if self.value is None:
            return self.note
        return f"{self.value:.4f}"

    @property
    def detail(self) -> str:
        """Where the value comes from."""
        if self.value is None:
            return ""
        return f"epoch {self.epoch}" if self.runs == 1 else f"mean of {self.runs}"


@dataclass(frozen=True)
class Table:
    """Models by augmentations.

    Args:
        models: row names, in order of appearance.
        augmentations: column names, in order of appearance.
        cells: one list a row.
    """

    models: tuple[str, ...]
    augmentations: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


def make_table(runs: Sequence[Run]) -> Table:
    """Arrange runs; a run that is not completed gives no figure, only a note."""
    models = tuple(dict.fromkeys(run.model for run in runs))
    augmentations = tuple(dict.fromkeys(run.augmentation for run in runs))
    plain = [[_cell(runs, model, augmentation) for augmentation in augmentations] for model in models]
    row_best = [_highest(row) for row in plain]
    column_best = [_highest(column) for column in zip(*plain, strict=True)]
    cells = tuple(
        tuple(
            replace(cell, best_of_row=_is(cell, row_best[r]), best_of_column=_is(cell, column_best[c]))
            for c, cell in enumerate(row)
        )
        for r, row in enumerate(plain)
    )
    return Table(models, augmentations, cells)


def _highest(cells: Sequence[Cell]) -> float | None:
    return max((cell.value for cell in cells if cell.value is not None), default=None)


def _is(cell: Cell, highest: float | None) -> bool:
    return cell.value is not None and cell.value == highest


def _cell(runs: Sequence[Run], model: str, augmentation: str) -> Cell:
    matching = [run for run in runs if run.model == model and run.augmentation == augmentation]
    finished = [run for run in matching if run.completed and run.best]
    if not finished:
        states = sorted({run.summary["status"] for run in matching})
        return Cell(None, None, 0, note=", ".join(states) or "–")
    values = [run.best["AP"] for run in finished]
    epoch = int(finished[0].best["epoch"]) if len(finished) == 1 else None
    return Cell(sum(values) / len(values), epoch, len(finished))


def to_markdown(table: Table) -> str:
    """Return the table in Markdown: bold is the best of a row, italic the best of a column."""
    lines = [
        "| | " + " | ".join(table.augmentations) + " |",
        "|---" * (len(table.augmentations) + 1) + "|",
    ]
    for model, row in zip(table.models, table.cells, strict=True):
        lines.append(f"| {model} | " + " | ".join(_marked(cell) for cell in row) + " |")
    return "\n".join(lines) + "\n"


def _marked(cell: Cell) -> str:
    text = cell.text
    if cell.best_of_column:
        text = f"*{text}*"
    if cell.best_of_row:
        text = f"**{text}**"
    return f"{text} ({cell.detail})" if cell.detail else text


CSV_FIGURES = ("AP", "AP50", "AP75", "AR", "mean_error_px", "median_error_px")


def to_csv(runs: Sequence[Run]) -> str:
    """Return one row a run, with the figures of its best epoch."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "model", "augmentation", "seed", "status", "epoch", *CSV_FIGURES, "seconds"])
    for run in runs:
        figures = [run.best.get(name) for name in ("epoch", *CSV_FIGURES)]
        status, seconds = run.summary["status"], run.summary.get("seconds")
        writer.writerow([run.label, run.model, run.augmentation, run.config.seed, status, *figures, seconds])
    return text.getvalue()
