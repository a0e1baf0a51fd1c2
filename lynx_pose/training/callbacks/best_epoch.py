"""The best epoch: its metrics, its weights and its poses, which always belong together."""

import logging
import math
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

from lynx_pose.errors import InputError
from lynx_pose.files import RetriedWrites
from lynx_pose.models.weights import read_checkpoint
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.task import PoseTask

log = logging.getLogger(__name__)
Row = dict[str, float | int | None]


class BestEpoch(pl.Callback):
    """Keeps checkpoints/best.ckpt and predictions.json of the best epoch, by default that with the highest AP.

    Of epochs with the same AP the one with the lower median error is better: while AP is still 0, networks learn. It
    is decided here and nowhere else, on the metrics in full precision, the same in every process.

    Args:
        folder: of the run.
        monitor: name of the metric that tells, such as `val/AP`.
    """

    def __init__(self, folder: RunFolder, monitor: str = "val/AP"):
        self.folder = folder
        self.monitor = monitor
        self.metrics: Row = {}
        self._writes = RetriedWrites()

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, PoseTask)
        names = [f"val/{name}" for name in ("loss", *pl_module.metric.names)]
        if self.monitor not in names:
            raise InputError(f"monitor={self.monitor}: must be one of {', '.join(names)}")

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """In a continued run whose best weights could not be written, let a later epoch take their place."""
        if not self.metrics:
            return
        try:
            kept = read_checkpoint(self.folder.best).get("epoch")
        except InputError:
            kept = None
        if kept != self.metrics["epoch"]:
            log.warning(
                "%s: does not hold the weights of the best epoch, %s; the next one that is validated takes its place",
                self.folder.best,
                self.metrics["epoch"],
            )
            self.metrics = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """If the epoch is the best so far, keep what it reached."""
        assert isinstance(module, PoseTask)
        if module.val_metrics and self.is_better(module.val_metrics):
            self._keep(trainer, module, trainer.current_epoch)
        elif trainer.is_global_zero:
            self._writes.flush(f"epoch {trainer.current_epoch}")

    def is_better(self, metrics: dict[str, float]) -> bool:
        """Whether metrics are better than those of the best epoch so far."""
        if not self.metrics:
            return True

        name = self.monitor.removeprefix("val/")
        sign = -1 if lower_is_better(name) else 1

        def rank(row: Any) -> tuple[float, float]:
            # A metric that could not be measured is the worst.
            value = -math.inf if math.isnan(row[name]) else sign * row[name]
            return value, -row["median_error_px"]

        return rank(metrics) > rank(self.metrics)

    def keep_untrained(self, trainer: pl.Trainer, task: PoseTask) -> None:
        """Take weights that were not trained for the best, as epoch −1."""
        self._keep(trainer, task, -1)

    def _keep(self, trainer: pl.Trainer, task: PoseTask, epoch: int) -> None:
        logged = trainer.callback_metrics
        progress: Row = {
            "epoch": epoch,
            "step": trainer.global_step,
            "lr": trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None,
            "train/loss": float(logged["train/loss"]) if "train/loss" in logged else None,
        }
        self.metrics = {**progress, **task.val_metrics}
        # Every process takes part in writing a checkpoint.
        trainer.save_checkpoint(self.folder.best, weights_only=True)
        if trainer.is_global_zero:
            self._writes.add(self.folder.predictions, task.metric.results())
            self._writes.flush(f"epoch {epoch}")

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"metrics": self.metrics}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.metrics = state["metrics"]


def lower_is_better(metric: str) -> bool:
    """Whether a metric measures what is wrong, by its name."""
    return any(word in metric for word in ("error", "loss", "MPJPE", "sides"))
