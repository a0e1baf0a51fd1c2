"""Training a backbone on crops without labels."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from lynx_pose.arrays import Pixels
from lynx_pose.data.samplers import TrainingSampler, ValidationSampler
from lynx_pose.pretraining.unlabelled import UnlabelledCrops


class Method(Protocol):
    """A way to learn without labels; also a module with the `backbone` that it trains."""

    phases: int

    def start_phase(self, phase: int) -> None:
        """Choose what is trained, by the number of the phase."""

    def loss(self, image: Tensor, generator: Generator) -> Tensor:
        """Return the loss of crops [B, H, W, 3], uint8 RGB."""

    def reconstruct(self, image: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return what is seen of crops and what is made of it, both [B, H, W, 3] uint8 RGB."""


class PretrainingTask(pl.LightningModule):
    """Train a backbone; what a step draws depends on seed and step alone.

    Args:
        net: the method with its backbone.
        train_crops: [N, S, S, 3] uint8 RGB.
        val_crops: the same of other photographs.
        side: of the network's input in pixels.
        optimizer: makes the optimiser from names and parameters.
        schedule: makes the step-wise schedule from optimiser and steps_per_epoch.
        batch_size: crops a step.
        epochs: of the run.
        seed: of order, crops and what the method draws.
    """

    def __init__(
        self,
        net: nn.Module,
        train_crops: Pixels,
        val_crops: Pixels,
        side: int,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        batch_size: int,
        epochs: int,
        seed: int,
    ):
        super().__init__()
        self.net: Any = net
        self.train_set = UnlabelledCrops(train_crops, side, seed)
        self.val_set = UnlabelledCrops(val_crops, side, None)
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.batch_size = batch_size
        self.epochs = epochs
        self.seed = seed
        # One row an epoch.
        self.rows: list[dict[str, float]] = []
        self._losses: list[Tensor] = []
        self._first_epoch = 0

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Return crops in an order that epoch and seed decide."""
        sampler = TrainingSampler(len(self.train_set), self.batch_size, self.seed, epoch=self._first_epoch)
        return DataLoader(self.train_set, self.batch_size, sampler=sampler, collate_fn=_as_it_is)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """Return the middle of each validation crop."""
        sampler = ValidationSampler(len(self.val_set), self.batch_size)
        return DataLoader(self.val_set, self.batch_size, sampler=sampler, collate_fn=_as_it_is)

    def generator(self, step: int) -> Generator:
        """Return what a step draws from; validation is step −1."""
        # Mixed to 32 bits, of which torch's generator takes no more.
        mixed = np.random.SeedSequence([self.seed, step + 1]).generate_state(1)
        return Generator().manual_seed(int(mixed[0]))

    def on_train_epoch_start(self) -> None:
        """Begin the epoch's phase."""
        self.net.start_phase(self.current_epoch * self.net.phases // self.epochs)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        loss: Tensor = self.net.loss(batch, self.generator(self.global_step))
        self._losses.append(loss.detach())
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the losses of the epoch before."""
        self._of_validation: list[Tensor] = []

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Note the loss of a batch."""
        self._of_validation += [self.net.loss(batch, self.generator(-1)) * len(batch)]

    def on_validation_epoch_end(self) -> None:
        """Add the epoch's row."""
        val_loss = float(torch.stack(self._of_validation).sum()) / len(self.val_set)
        train_loss = float(torch.stack(self._losses).mean()) if self._losses else float("nan")
        phase = self.current_epoch * self.net.phases // self.epochs
        self.rows.append({"epoch": self.current_epoch, "phase": phase, "train/loss": train_loss, "val/loss": val_loss})
        self.log("val/loss", val_loss, prog_bar=True)
        self._losses = []

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimiser and its schedule."""
        optimizer = self.make_optimizer(self.net.named_parameters())
        steps = -(-len(self.train_set) // self.batch_size)
        schedule = self.make_schedule(optimizer, steps_per_epoch=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the rows so far."""
        checkpoint["rows"] = self.rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the rows of a run that is continued."""
        self.rows = checkpoint["rows"]
        self._first_epoch = checkpoint["epoch"] + 1


def _as_it_is(batch: Any) -> Any:
    """Return what the crops made of several indices, which is a batch already."""
    return batch
