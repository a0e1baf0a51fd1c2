"""Writes a run's metrics.csv and predictions.json, and remembers its best epoch."""

from __future__ import annotations

import csv
import io
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lynx_pose.run_folder import RunFolder, write_json, write_text
from lynx_pose.task import PoseTask

log = logging.getLogger(__name__)
Row = dict[str, float | int | None]


class RunRecord(pl.Callback):
    """Record every epoch.

    The rows travel in the checkpoint, so a resumed run writes the whole curve, without the epochs that were
    lost.

    Args:
        folder: of the run.
        keep_poses_at: epochs whose poses on the validation set are kept.
    """

    def __init__(self, folder: RunFolder, keep_poses_at: Sequence[int] = ()):
        self.folder = folder
        self.keep_poses_at = set(keep_poses_at)
        self.rows: list[Row] = []
        self.best: Row | None = None
        self.train_seconds = 0.0
        self.train_images = 0
        self.wait_seconds = 0.0
        self._waiting_since = 0.0
        self._started = 0.0
        self._validated = False
        self._unwritten: dict[Path, Any] = {}
        self._began = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note where this process began, which may be in the middle of the run."""
        self._began, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start the clock."""
        self._started = self._waiting_since = time.monotonic()
        self._validated = False

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        """Note how long the batch was waited for."""
        self.wait_seconds += time.monotonic() - self._waiting_since

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Count images, and stop the clock with the last batch, before validation."""
        self.train_images += len(batch.image) * trainer.world_size
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.train_seconds += time.monotonic() - self._started
        self._waiting_since = time.monotonic()

    @property
    def wait_share(self) -> float:
        """Share of the training time before the first step and between steps, which waits for data.

        A GPU may still be busy with the step before, so it waits for less than that.
        """
        return self.wait_seconds / max(self.train_seconds, 1e-9)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note that this epoch has figures of its own."""
        self._validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Add the epoch's row; if it is the best so far, keep its poses."""
        assert isinstance(module, PoseTask)
        losses = trainer.callback_metrics
        row: Row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train/loss": float(losses["train/loss"]),
            "val/loss": float(losses["val/loss"]) if self._validated else None,
        }
        if self._validated:
            row |= {f"val/{name}": value for name, value in module.figures.items()}
        self.rows.append(row)
        improved = self._validated and (self.best is None or (row["val/AP"] or 0) > (self.best["val/AP"] or 0))
        if improved:
            self.best = row
        if trainer.is_global_zero:
            self._write(trainer, module, improved)

    def _write(self, trainer: pl.Trainer, module: PoseTask, improved: bool) -> None:
        """Write what the epoch adds; what cannot be written now is written with the next epoch."""
        if improved:
            self._unwritten[self.folder.predictions] = module.evaluation.results()
        if self._validated and trainer.current_epoch in self.keep_poses_at:
            self._unwritten[self.folder.epoch_predictions(trainer.current_epoch)] = module.evaluation.results()
        self._unwritten[self.folder.progress] = self._progress(trainer)
        try:
            self._write_rows()
            for path in list(self._unwritten):
                write_json(path, self._unwritten[path])
                del self._unwritten[path]
        except OSError as error:
            log.error("epoch %d could not be written (%s); training goes on", trainer.current_epoch, error)

    def _progress(self, trainer: pl.Trainer) -> dict[str, float | int | None]:
        """Return how far the run is, for `python -m lynx_pose.sweeps`."""
        epochs = trainer.max_epochs or 0
        done = trainer.current_epoch + 1
        per_epoch = (time.monotonic() - self._began) / (done - self._first_epoch)
        return {
            "epoch": trainer.current_epoch,
            "epochs": epochs,
            "AP": self.best["val/AP"] if self.best else None,
            "images_per_second": round(self.train_images / max(self.train_seconds, 1e-9), 1),
            "seconds_left": round(per_epoch * (epochs - done), 1),
        }

    def add_untrained(self, trainer: pl.Trainer, task: PoseTask) -> None:
        """Record the figures of weights that were not trained, as epoch −1."""
        row: Row = {"epoch": -1, "step": 0, "lr": None, "train/loss": None}
        row["val/loss"] = float(trainer.callback_metrics["val/loss"])
        self.best = row | {f"val/{name}": value for name, value in task.figures.items()}
        self.rows = [self.best]
        if trainer.is_global_zero:
            self._write_rows()
            write_json(self.folder.predictions, task.evaluation.results())

    def _write_rows(self) -> None:
        text = io.StringIO()
        columns = dict.fromkeys(name for row in self.rows for name in row)
        writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder.metrics, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {
            "rows": self.rows,
            "best": self.best,
            "seconds": self.train_seconds,
            "images": self.train_images,
            "wait_seconds": self.wait_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where the checkpoint was written."""
        self.rows, self.best = state["rows"], state["best"]
        self.train_seconds, self.train_images = state["seconds"], state["images"]
        self.wait_seconds = state["wait_seconds"]
