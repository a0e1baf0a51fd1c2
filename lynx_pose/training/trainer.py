"""The Lightning Trainer as we use it: precision, quiet, one run's processes."""

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.plugins.environments import ClusterEnvironment

from lynx_pose.config import instantiate
from lynx_pose.distributed.supervisor import external_devices
from lynx_pose.machine import computes_bf16


def make_trainer(cfg: DictConfig, environment: ClusterEnvironment, **options: Any) -> pl.Trainer:
    """Make the configured Trainer.

    Args:
        cfg: with `trainer`.
        environment: says which of the run's processes this is.
        options: beside the configured ones; `plugins` are added to the environment.
    """
    _silence_lightning()
    plugins = [environment, *options.pop("plugins", [])]
    # The user's before ours: the last checkpoint of an epoch holds what all callbacks made of it.
    own = [instantiate(callback) for callback in cfg.trainer.get("callbacks") or []]
    callbacks = [FinalValidation(), *own, *options.pop("callbacks", [])]
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        plugins=plugins,
        callbacks=callbacks,
        precision=choose_precision(cfg.trainer),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
        enable_model_summary=False,
        **options,
        **external_devices(environment),
    )
    return trainer


class FinalValidation(pl.Callback):
    """Validates after the last epoch too, where `trainer.check_val_every_n_epoch` passes it by."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Let Lightning validate after every epoch from the last one on."""
        if trainer.current_epoch + 1 == trainer.max_epochs:
            trainer.check_val_every_n_epoch = 1


def choose_precision(trainer: DictConfig) -> str:
    """Return `trainer.precision`; for `auto`, bf16-mixed where the device computes bfloat16 itself, else 32-true."""
    if trainer.precision != "auto":
        return str(trainer.precision)
    accelerator = trainer.accelerator
    if accelerator == "auto":
        accelerator = (pl.accelerators.CUDAAccelerator.is_available() and "cuda") or "cpu"
    return "bf16-mixed" if computes_bf16(str(accelerator).replace("gpu", "cuda")) else "32-true"


def _silence_lightning() -> None:
    """Leave out Lightning's remarks that are in our files already, or that do not apply."""
    # What Lightning says of accelerators and batch limits is in the configuration and in summary.json.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for message in (
        # Lightning asks torch's tree functions in a way that they warn of.
        ".*LeafSpec.*is deprecated",
        # Where SLURM is installed, one may still train without it.
        ".*srun.* command is available on your system but is not used.*",
        # A run that is continued has checkpoints.
        ".*Checkpoint directory .* exists and is not empty.*",
        # Every process computes the same metrics from all poses.
        ".*sync_dist=True.*",
    ):
        warnings.filterwarnings("ignore", message=message)
