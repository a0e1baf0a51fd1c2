"""One row an epoch: metrics.csv, progress.json, and the poses of chosen epochs."""

import csv
import io
import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

from lynx_pose.files import RetriedWrites
from lynx_pose.training.callbacks.best_epoch import BestEpoch, Row
from lynx_pose.training.callbacks.throughput import Throughput
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.task import PoseTask


class EpochLog(pl.Callback):
    """Records every epoch.

    The rows travel in the checkpoint, so a resumed run writes the whole curve, without the epochs that were lost.

    Args:
        folder: of the run.
        best: knows the best AP so far, which `python -m lynx_pose.sweeps` shows.
        throughput: knows how fast training is.
        keep_poses_at: epochs whose poses on the validation set are kept.
    """

    def __init__(self, folder: RunFolder, best: BestEpoch, throughput: Throughput, keep_poses_at: Sequence[int] = ()):
        self.folder = folder
        self.best = best
        self.throughput = throughput
        self.keep_poses_at = set(keep_poses_at)
        self.rows: list[Row] = []
        self._writes = RetriedWrites()
        self._start = 0.0
        self._first_epoch = 0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Note where this process began, which may be in the middle of the run."""
        self._start, self._first_epoch = time.monotonic(), trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Add the epoch's row, and write what it adds."""
        assert isinstance(module, PoseTask)
        logged = trainer.callback_metrics
        row: Row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train/loss": float(logged["train/loss"]),
        }
        if module.val_metrics:
            row |= {f"val/{name}": value for name, value in module.val_metrics.items()}
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write(trainer, module)

    def add_untrained(self, trainer: pl.Trainer, task: PoseTask) -> None:
        """Record the metrics of weights that were not trained, as epoch −1."""
        row: Row = {"epoch": -1, "step": 0, "lr": None, "train/loss": None}
        self.rows = [row | {f"val/{name}": value for name, value in task.val_metrics.items()}]
        if trainer.is_global_zero:
            self._writes.add(self.folder.metrics, self._csv())
            self._writes.flush("the untrained network's metrics")

    def _write(self, trainer: pl.Trainer, module: PoseTask) -> None:
        epoch = trainer.current_epoch
        self._writes.add(self.folder.metrics, self._csv())
        self._writes.add(self.folder.progress, self._progress(trainer))
        if module.val_metrics and epoch in self.keep_poses_at:
            self._writes.add(self.folder.epoch_predictions(epoch), module.metric.results())
        self._writes.flush(f"epoch {epoch}")

    def _csv(self) -> str:
        text = io.StringIO()
        columns = dict.fromkeys(name for row in self.rows for name in row)
        writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def _progress(self, trainer: pl.Trainer) -> dict[str, float | int | None]:
        """Return how far the run is, for `python -m lynx_pose.sweeps`."""
        epochs = trainer.max_epochs or 0
        done = trainer.current_epoch + 1
        seconds_per_epoch = (time.monotonic() - self._start) / (done - self._first_epoch)
        return {
            "epoch": trainer.current_epoch,
            "epochs": epochs,
            "AP": self.best.metrics.get("AP"),
            "images_per_second": round(self.throughput.images_per_second, 1),
            "seconds_left": round(seconds_per_epoch * (epochs - done), 1),
        }

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]
