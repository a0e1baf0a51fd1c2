"""A schedule of integral regression: coordinates alone, then coordinates and heatmaps."""

import pytorch_lightning as pl
from typing_extensions import override

from lynx_pose.errors import InputError
from lynx_pose.training.task import PoseTask


class HeatmapLossAtEnd(pl.Callback):
    """Adds the heatmap loss of integral heads in the last epochs.

    Args:
        begin: of it, as a share of the run's epochs.
        weight: of it, then.

    Raises:
        InputError: the share is none.
    """

    def __init__(self, begin: float, weight: float):
        if not 0 <= begin <= 1:
            raise InputError(f"callback.heatmap_loss_at_end.begin={begin}: must be a share of the epochs, from 0 to 1")
        self.begin = begin
        self.weight = weight

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        assert isinstance(pl_module, PoseTask)
        if getattr(pl_module.net.head, "heatmap_loss", None) is None:
            raise InputError(
                "callback=heatmap_loss_at_end: the head has no heatmap loss; head=integral head/heatmap_loss=bce has, "
                "and head=integral3d"
            )

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PoseTask)
        weight = self.weight_in(trainer.current_epoch, trainer.max_epochs or 0)
        pl_module.net.head.heatmap_weight = weight  # type: ignore[assignment]  # setup has seen that the head has it

    def weight_in(self, epoch: int, epochs: int) -> float:
        """Return the weight in an epoch, the first of which is 0."""
        return self.weight if epoch >= self.begin * epochs else 0.0
