"""A run in Weights & Biases, which may be absent or down: training goes on without it."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import WandbLogger
from typing_extensions import override

from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)


class FaultTolerantWandbLogger(WandbLogger):
    """Lightning's logger, which stops logging rather than training when something is wrong on W&B's side."""

    broken = False

    @override
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._attempt(super().log_metrics, metrics, step)

    @override
    def log_hyperparams(self, params: Any) -> None:
        self._attempt(super().log_hyperparams, params)

    @override
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        self._attempt(super().log_image, key, images, step, **kwargs)

    @override
    def finalize(self, status: str) -> None:
        self._attempt(super().finalize, status)

    def _attempt(self, action: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        if self.broken:
            return
        try:
            action(*arguments, **options)
        except Exception as error:  # any failure of a service that training does not need
            self.broken = True
            log.warning("training goes on without Weights & Biases: %s", error)


def group_name(sweep: Path) -> str:
    """Name the W&B group of a sweep's runs by the last two parts of its folder, its date and time."""
    return "_".join(sweep.parts[-2:])


def wandb_group(hydra_cfg: DictConfig) -> str | None:
    """Return the W&B group of a job of a sweep; None outside sweeps."""
    return group_name(Path(hydra_cfg.sweep.dir)) if hydra_cfg.mode == RunMode.MULTIRUN else None


@contextmanager
def wandb_run(
    cfg: DictConfig, folder: RunFolder, group: str | None, earlier: str | None
) -> Iterator[WandbLogger | None]:
    """Open the run in Weights & Biases and close it at the end; yield None where that cannot be done.

    Args:
        cfg: the whole configuration, which is logged.
        folder: of the run.
        group: of the runs of a sweep.
        earlier: id of the W&B run that is continued.
    """
    logger = _start(cfg, folder, group, earlier) if cfg.logger.wandb is not None else None
    try:
        yield logger
    finally:
        if logger:
            try:
                logger.experiment.finish(exit_code=int(sys.exc_info()[0] is not None))
            except Exception as error:  # as at the start: training has ended, nothing of it may be lost now
                log.warning("Weights & Biases could not close its run: %s", error)


def _start(cfg: DictConfig, folder: RunFolder, group: str | None, earlier: str | None) -> WandbLogger | None:
    options: Any = OmegaConf.to_container(cfg.logger.wandb, resolve=True)
    try:
        # Not at the top of the module: where it is absent, training goes on without it.
        import wandb

        logger = FaultTolerantWandbLogger(
            name=cfg.name,
            group=group,
            save_dir=str(folder.path),
            config=OmegaConf.to_container(cfg, resolve=True),
            id=earlier,
            resume="allow" if earlier else None,
            settings=wandb.Settings(init_timeout=cfg.logger.init_timeout, silent=True),
            **options,
        )
        # WandbLogger only starts its run at the first use; start it here, where failing is harmless.
        logger.experiment.define_metric("val/AP", summary="max")
    except Exception as error:  # any failure of a service that training does not need
        log.warning("training goes on without Weights & Biases: %s", error)
        return None
    return logger
