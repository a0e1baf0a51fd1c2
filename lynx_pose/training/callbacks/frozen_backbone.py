"""Trains the head alone at first, so that its random weights do not spoil a pretrained backbone."""

import pytorch_lightning as pl
from torch import nn
from typing_extensions import override

from lynx_pose.errors import InputError
from lynx_pose.training.task import PoseTask


class FrozenBackbone(pl.Callback):
    """Keeps the backbone, its running statistics included, as it is during the first epochs.

    Args:
        epochs: how many.
    """

    def __init__(self, epochs: int):
        if epochs < 1:
            raise InputError(f"callback.frozen_backbone.epochs={epochs}: must be at least 1")
        self.epochs = epochs
        self._frozen: list[nn.Parameter] = []

    @override
    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PoseTask)
        if self.epochs >= (trainer.max_epochs or 0):
            raise InputError(
                f"callback.frozen_backbone.epochs={self.epochs}: the run has {trainer.max_epochs} epochs, so the "
                "backbone would never learn"
            )
        if trainer.current_epoch < self.epochs:
            # Not those that never learn in any case.
            self._frozen = [one for one in module.net.backbone.parameters() if one.requires_grad]
            for parameter in self._frozen:
                parameter.requires_grad_(False)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PoseTask)
        if trainer.current_epoch < self.epochs:
            module.net.backbone.eval()
            return
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        if self._frozen:
            module.net.backbone.train()
        self._frozen = []
