"""An exponential moving average of the weights, which validates and which `best.ckpt` holds."""

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging
from typing_extensions import override


class AveragedWeights(EMAWeightAveraging):
    """Lightning's, whose average stays in the network until the epoch is over, so that the best epoch is kept with it.

    It has to come after `BestEpoch`. Arguments as those of `EMAWeightAveraging`.
    """

    _validated = False

    @override
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validated = True

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._validated:
            self._validated = False
            super().on_validation_epoch_end(trainer, pl_module)
        super().on_train_epoch_end(trainer, pl_module)
