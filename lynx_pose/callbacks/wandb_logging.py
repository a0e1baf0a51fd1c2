"""Weights & Biases, which may be absent or down: a run goes on without it."""

from __future__ import annotations

import logging
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger

from lynx_pose.run_folder import RunFolder

log = logging.getLogger(__name__)


def start_wandb(cfg: DictConfig, folder: RunFolder, sweep: str | None) -> WandbLogger | None:
    """Open the run in Weights & Biases; warn and return None where that cannot be done.

    Args:
        cfg: the whole configuration, which is logged.
        folder: of the run.
        sweep: name of the group, for a job of a sweep.
    """
    if cfg.logger.wandb is None:
        return None
    try:
        logger = WandbLogger(
            name=cfg.name,
            group=sweep,
            save_dir=str(folder.path),
            config=OmegaConf.to_container(cfg, resolve=True),
            **_options(cfg),
        )
        # WandbLogger only starts its run at the first use; start it here, where failing is harmless.
        logger.experiment.define_metric("val/AP", summary="max")
    except Exception as error:  # any failure of a service that training does not need
        log.warning("training goes on without Weights & Biases: %s", error)
        return None
    return logger


def _options(cfg: DictConfig) -> dict[str, Any]:
    options = OmegaConf.to_container(cfg.logger.wandb, resolve=True)
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items()}
