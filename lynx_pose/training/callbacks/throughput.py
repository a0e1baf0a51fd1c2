"""How fast a run trains, and how long it waits for data."""

import time
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override


class Throughput(pl.Callback):
    """Counts images and seconds of training, without validation; travels in the checkpoint."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.images = 0
        self.wait_seconds = 0.0
        self._epoch_start = 0.0
        self._waiting_since = 0.0

    @property
    def images_per_second(self) -> float:
        """Of all processes together."""
        return self.images / max(self.seconds, 1e-9)

    @property
    def wait_share(self) -> float:
        """Share of the training time before the first step and between steps, which waits for data.

        A GPU may still be busy with the step before, so it waits for less than that.
        """
        return self.wait_seconds / max(self.seconds, 1e-9)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._epoch_start = self._waiting_since = time.monotonic()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        """Note how long the batch was waited for."""
        self.wait_seconds += time.monotonic() - self._waiting_since

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Count images, and stop the clock with the last batch, before validation."""
        self.images += len(batch.image) * trainer.world_size
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.seconds += time.monotonic() - self._epoch_start
        self._waiting_since = time.monotonic()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "images": self.images, "wait_seconds": self.wait_seconds}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds, self.images, self.wait_seconds = state["seconds"], state["images"], state["wait_seconds"]
