"""What ends a run before its last epoch: no progress, its time, or a race in which it pauses."""

import math
from datetime import timedelta

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import EarlyStopping, Timer

from lynx_pose.errors import InputError
from lynx_pose.training.callbacks.best_epoch import lower_is_better


def early_end(cfg: DictConfig) -> list[pl.Callback]:
    """Make what ends a run early, from `stop.patience` and `stop.after`.

    Raises:
        InputError: the run is shorter than the patience, or there is no such time.
    """
    callbacks: list[pl.Callback] = []
    patience, hours = cfg.stop.patience, cfg.stop.after
    if patience is not None:
        validations = math.ceil((cfg.trainer.max_epochs or 0) / cfg.trainer.check_val_every_n_epoch)
        if not 0 < patience < validations:
            raise InputError(
                f"stop.patience={patience}: must be at least 1 and less than the run's {validations} validations"
            )
        mode = "min" if lower_is_better(cfg.monitor) else "max"
        callbacks.append(EarlyStopping(cfg.monitor, mode=mode, patience=patience))
    if hours is not None:
        if not hours > 0:
            raise InputError(f"stop.after={hours}: must be a number of hours above 0")
        # At the end of an epoch, so that its checkpoint is whole.
        callbacks.append(Timer(timedelta(hours=hours), interval="epoch", verbose=False))
    return callbacks


class Pause(pl.Callback):
    """Ends a run after a number of epochs, to be continued.

    Args:
        epochs: of the run, counted from its beginning; None never pauses.
    """

    def __init__(self, epochs: int | None):
        self.epochs = epochs

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop at once where the run has come so far already, and was killed before it could say so."""
        trainer.should_stop = trainer.should_stop or (self.epochs is not None and trainer.current_epoch >= self.epochs)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop where the run has come so far."""
        trainer.should_stop = trainer.should_stop or trainer.current_epoch + 1 == self.epochs

    def paused(self, trainer: pl.Trainer) -> bool:
        """Whether the run stopped here, and not at its end."""
        return trainer.current_epoch == self.epochs and trainer.current_epoch < (trainer.max_epochs or 0)


def why_ended(trainer: pl.Trainer) -> str | None:
    """Say in words why a run ended before its last epoch; None where it did not."""
    if trainer.current_epoch >= (trainer.max_epochs or 0):
        return None
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning has them as a list
        if isinstance(callback, EarlyStopping) and callback.wait_count >= callback.patience:
            return f"{callback.monitor} got no better in {callback.patience} validations"
        if isinstance(callback, Timer) and (callback.time_remaining() or 0) <= 0:
            return "its time was over (stop.after)"
    return "a callback ended it"
