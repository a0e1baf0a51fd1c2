"""A run that is a trial of a search: what it tells the study, and when it is pruned."""

from pathlib import Path

import optuna
import pytorch_lightning as pl
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps._search import open_study


class TrialReport(pl.Callback):
    """Tells the study how a trial does, epoch by epoch, and ends it where the pruner says that it cannot win.

    Args:
        sweeper: `hydra.sweeper` of the configuration; None in processes other than rank 0.
        folder: of the sweep.
        number: of the trial.
    """

    def __init__(self, sweeper: DictConfig | None, folder: Path, number: int):
        self.pruned = False
        self._trial: optuna.Trial | None = None
        if sweeper is None or len(sweeper.objectives) > 1:
            return
        (self._metric,) = sweeper.objectives
        study = open_study(sweeper, folder)
        known = study.get_trials(deepcopy=False)[number]
        self._trial = optuna.Trial(study, known._trial_id)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Report the epoch's metric, and end the run where it is to be pruned."""
        pruned = False
        value = trainer.callback_metrics.get(f"val/{self._metric}") if self._trial else None
        if self._trial and value is not None and not trainer.sanity_checking:
            self._trial.report(float(value), trainer.current_epoch)
            pruned = self._trial.should_prune()
        # All processes end together.
        self.pruned = bool(trainer.strategy.broadcast(pruned))
        trainer.should_stop = trainer.should_stop or self.pruned
