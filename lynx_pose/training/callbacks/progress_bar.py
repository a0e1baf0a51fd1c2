"""The progress bar: rate, loss, AP, how long training waits for data, and the time left for the whole run."""

import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from typing_extensions import override

from lynx_pose.training.callbacks.throughput import Throughput


class RunProgressBar(TQDMProgressBar):
    """Lightning's bar, with the run's remaining time beside the epoch's.

    Args:
        throughput: knows how long training has waited for data.
    """

    def __init__(self, throughput: Throughput):
        super().__init__()
        self.throughput = throughput

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._start_time = time.monotonic()
        self._start_epoch = trainer.current_epoch

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """Return loss and AP as logged, and once one epoch has passed the share of `wait` and the time `left`."""
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        done = trainer.current_epoch - self._start_epoch
        if done > 0 and trainer.max_epochs and trainer.max_epochs > 0:
            per_epoch = (time.monotonic() - self._start_time) / done
            metrics["wait"] = f"{self.throughput.wait_share:.0%}"
            metrics["left"] = str(timedelta(seconds=round(per_epoch * (trainer.max_epochs - trainer.current_epoch))))
        return metrics
