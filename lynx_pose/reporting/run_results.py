"""What a report needs to know of each run, read from the files that the run wrote."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig
from rich.progress import track

from hydra_plugins.resuming_sweeps._option_keys import is_under
from lynx_pose.config import WITHOUT_EFFECT
from lynx_pose.errors import InputError
from lynx_pose.files import read_json
from lynx_pose.sweeps.sweep_folder import job_folders
from lynx_pose.training.run_folder import RunFolder

Item = TypeVar("Item")
# Runs that take long enough for a progress bar.
MANY = 6


@dataclass(frozen=True, eq=False)
class Run:
    """One run, finished or not.

    Args:
        folder: of the run.
        config: as composed.
        summary: content of summary.json.
        curve: (epoch, AP) of every validated epoch; epochs count from 0, and −1 is before training.
        row: name of the table's row: the architecture, and what else distinguishes it from others of the report.
    """

    folder: RunFolder
    config: DictConfig
    summary: dict[str, Any]
    curve: tuple[tuple[int, float], ...]
    row: str = ""

    @property
    def name(self) -> str:
        """Architecture and augmentation."""
        return str(self.config.name)

    @property
    def label(self) -> str:
        """Name of its folder: unique within its sweep."""
        return self.folder.path.name

    @property
    def title(self) -> str:
        """Name for a legend: row and group, which tell what varies, after the number of its folder."""
        number, _, _ = self.label.partition("-")
        described = f"{self.row or self.model}, {self.augmentation}"
        if self.fold is not None:
            described += f", fold {self.fold}"
        return f"{number}: {described}" if number.isdigit() else f"{self.label}: {described}"

    @property
    def model(self) -> str:
        """Architecture."""
        return str(self.config.model.name)

    @property
    def seed(self) -> int:
        """Of weights, order and augmentation."""
        return int(self.config.seed)

    @property
    def augmentation(self) -> str:
        """Column of the table: the augmentation group, or `baseline` for weights that were not trained."""
        return str(self.config.aug.name) if self.config.fit else "baseline"

    @property
    def completed(self) -> bool:
        """Whether it ran to its end; the metrics of others are not final."""
        return bool(self.summary["status"] == "completed")

    @property
    def fold(self) -> int | None:
        """Of a cross-validation, the part that validates."""
        fold: int | None = self.config.data.fold
        return fold

    @property
    def test(self) -> dict[str, Any]:
        """What the third side gave; empty where nobody has looked, or where the file is damaged."""
        try:
            content = read_json(self.folder.test) if self.folder.test.is_file() else {}
            return content if isinstance(content["metrics"]["AP"], float) else {}
        except (InputError, KeyError, TypeError):
            return {}

    @property
    def further(self) -> dict[str, list[tuple[int, float]]]:
        """(epoch, value) of every metric on the validation side, by its name, where it could be measured."""
        if not self.folder.metrics.is_file():
            return {}
        found: dict[str, list[tuple[int, float]]] = {}
        with self.folder.metrics.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                for key, value in row.items():
                    if key and key.startswith("val/") and value and value != "nan":
                        found.setdefault(key.removeprefix("val/"), []).append((int(row["epoch"]), float(value)))
        return found

    @property
    def best(self) -> dict[str, float]:
        """Metrics of the best epoch; empty if it did not get that far."""
        best: dict[str, float] = self.summary.get("best", {}) or {}
        return best


def find_runs(paths: Sequence[Path], trust: bool = False) -> list[Run]:
    """Read the runs of sweep folders, or of run folders.

    Raises:
        InputError: a folder holds no run, or the runs are of different datasets.
    """
    runs = []
    for path in paths:
        folders = [RunFolder(path)] if RunFolder(path).config.is_file() else job_folders(path)
        if not folders:
            raise InputError(f"{path}: holds no run and no sweep; give a folder that lynx_pose.train wrote")
        runs += [
            Run(folder, folder.read_config(trust), folder.read_summary(), _read_curve(folder.metrics))
            for folder in folders
        ]
    data = {(run.summary["data"]["name"], run.summary["data"]["fingerprint"]) for run in runs if "data" in run.summary}
    if len(data) > 1:
        named = ", ".join(f"{name} ({fingerprint})" for name, fingerprint in sorted(data))
        raise InputError(f"the runs are of different datasets, {named}; their metrics cannot share a table")
    return _with_rows(runs)


def progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    """Go through runs, or what belongs to each, with a progress bar where they are many."""
    return track(items, what, transient=True, disable=len(items) < MANY)


def on_thesis_data(runs: Sequence[Run]) -> bool:
    """Whether runs are of the thesis's dataset, on which alone its results can stand beside theirs."""
    return {run.summary["data"]["name"] for run in runs if "data" in run.summary} == {"lynx"}


# Options without which a row's name would be wrong, whether they vary or not.
NAMED = ("model.backbone.name",)
# What tables show otherwise.
SHOWN_OTHERWISE = ("model", "aug", "fit", "column", "seed", "experiment", "name", "data.fold")


def _with_rows(runs: Sequence[Run]) -> list[Run]:
    """Name each run's row by its architecture and the options in which it differs from others of that architecture.

    So runs with different options never share a cell.
    """
    options = [_options(run) for run in runs]
    named = []
    for run, own in zip(runs, options, strict=True):
        others = [other for peer, other in zip(runs, options, strict=True) if peer.model == run.model]
        keys = dict.fromkeys(key for other in others for key in other)
        varying = [key for key in keys if key in NAMED or len({other.get(key) for other in others}) > 1]
        parts = [f"{key}={own[key]}" for key in varying if key in own and key != "variant"]
        label = run.name if "variant" in varying else run.model
        named.append(replace(run, row=", ".join([label, *parts])))
    return named


def _options(run: Run) -> dict[str, str]:
    pairs = (override.lstrip("+~").partition("=") for override in run.summary.get("overrides", []))
    kept = {key: value for key, _, value in pairs if key not in SHOWN_OTHERWISE}
    return {key: value for key, value in kept.items() if not is_under(key, WITHOUT_EFFECT)}


def _read_curve(path: Path) -> tuple[tuple[int, float], ...]:
    if not path.is_file():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("val/AP")]
        return tuple((int(row["epoch"]), float(row["val/AP"])) for row in rows)
    except (KeyError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: is damaged ({error})") from None
