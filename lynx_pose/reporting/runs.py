"""What a report needs to know of each run, read from the files that the run wrote."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lynx_pose.errors import InputError
from lynx_pose.run_folder import RunFolder
from lynx_pose.sweeps.record import job_folders


@dataclass(frozen=True, eq=False)
class Run:
    """One run, finished or not.

    Args:
        folder: of the run.
        config: as composed.
        summary: content of summary.json.
        curve: (epoch, AP) of every validated epoch; epochs count from 0.
    """

    folder: RunFolder
    config: DictConfig
    summary: dict[str, Any]
    curve: tuple[tuple[int, float], ...]

    @property
    def name(self) -> str:
        """Architecture and augmentation."""
        return str(self.config.name)

    @property
    def label(self) -> str:
        """Name for a legend: unique within its sweep."""
        return self.folder.path.name

    @property
    def model(self) -> str:
        """Row of the table."""
        return str(self.config.model.name)

    @property
    def augmentation(self) -> str:
        """Column of the table."""
        return str(self.config.aug.name)

    @property
    def completed(self) -> bool:
        """Whether it ran to its end; the figures of others are not final."""
        return bool(self.summary["status"] == "completed")

    @property
    def best(self) -> dict[str, float]:
        """Figures of the best epoch; empty if it did not get that far."""
        best: dict[str, float] = self.summary.get("best", {}) or {}
        return best


def find_runs(paths: Sequence[Path]) -> list[Run]:
    """Read the runs of sweep folders, or of run folders.

    Raises:
        InputError: a folder holds no run, or the runs are of different datasets.
    """
    runs = []
    for path in paths:
        folders = [RunFolder(path)] if RunFolder(path).config.is_file() else job_folders(path)
        if not folders:
            raise InputError(f"{path}: holds no run and no sweep; give a folder that lynx_pose.train wrote")
        runs += [_read_run(folder) for folder in folders]
    data = {(run.summary["data"]["name"], run.summary["data"]["fingerprint"]) for run in runs if "data" in run.summary}
    if len(data) > 1:
        named = ", ".join(f"{name} ({fingerprint})" for name, fingerprint in sorted(data))
        raise InputError(f"the runs are of different datasets, {named}; their figures cannot share a table")
    return runs


def _read_run(folder: RunFolder) -> Run:
    return Run(folder, folder.read_config(), folder.read_summary(), _read_curve(folder.metrics))


def _read_curve(path: Path) -> tuple[tuple[int, float], ...]:
    if not path.is_file():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("val/AP")]
        return tuple((int(row["epoch"]), float(row["val/AP"])) for row in rows)
    except (KeyError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: is damaged ({error})") from None


def newest_sweep(root: Path) -> Path:
    """Return the sweep folder that was started last under `multirun/`."""
    sweeps = sorted(root.glob("*/*/sweep.json"), key=lambda path: path.parent.as_posix())
    if not sweeps:
        raise InputError(f"{root}: no sweep in it yet; start one with python -m lynx_pose.train -m, or give its folder")
    return sweeps[-1].parent
