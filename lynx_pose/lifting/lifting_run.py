"""The work of `python -m lynx_pose.lift`: one run from its configuration to its folder."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint

from lynx_pose.config import instantiate
from lynx_pose.distributed.supervisor import LocalEnvironment
from lynx_pose.errors import InputError
from lynx_pose.files import write_json, write_text
from lynx_pose.lifting.lifter import NETWORK
from lynx_pose.lifting.lifting_page import training_page
from lynx_pose.lifting.lifting_task import LiftingTask
from lynx_pose.lifting.skeleton3d import NODES
from lynx_pose.models.weights import write_half_precision
from lynx_pose.training.callbacks.epoch_table import EpochTable
from lynx_pose.training.checkpoint import AtomicCheckpointIO, resumable_checkpoint
from lynx_pose.training.resume import find_run_folder, require_same_run
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.summary import source_commit
from lynx_pose.training.trainer import make_trainer

log = logging.getLogger(__name__)
# What may change when a run is continued.
MAY_CHANGE = ("ckpt", "hydra", "trainer")


def train_lifting(cfg: DictConfig) -> Mapping[str, float]:
    """Train as configured in `conf/lift.yaml`; the run's folder gets metrics.csv, summary.json, lifting.html
    and lifting.ckpt, the network alone.

    Returns:
        the last epoch's row.

    Raises:
        InputError: an option cannot be used, or the folder holds another run.
    """
    _check(cfg)
    folder = find_run_folder(cfg, HydraConfig.get())
    with folder.locked():
        checkpoint = resumable_checkpoint(Path(cfg.ckpt).expanduser().resolve()) if cfg.ckpt else None
        require_same_run(cfg, folder, MAY_CHANGE)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        task = build_task(cfg)
        files, start = AtomicCheckpointIO(folder), time.monotonic()
        trainer = make_trainer(
            cfg,
            LocalEnvironment(),
            callbacks=[EpochTable(folder), ModelCheckpoint(folder.last.parent, "last", enable_version_counter=False)],
            plugins=[files],
            logger=False,
            default_root_dir=str(folder.path),
        )
        trainer.fit(task, ckpt_path=checkpoint, weights_only=True)
        files.require_written()
        _finish(folder, task, time.monotonic() - start)
    return task.rows[-1]


def build_task(cfg: DictConfig) -> LiftingTask:
    """Make what trains the network that `conf/lift.yaml` describes."""
    return LiftingTask(
        net=instantiate(cfg.model),
        poses=instantiate(cfg.poses),
        optimizer=instantiate(cfg.optimizer),
        schedule=instantiate(cfg.schedule),
        missing=cfg.missing,
        batch_size=cfg.batch_size,
        steps_per_epoch=cfg.steps_per_epoch,
        val_poses=cfg.val_poses,
        seed=cfg.seed,
        metadata={"nodes": list(NODES), "width": cfg.model.width, "blocks": cfg.model.blocks},
    )


def _check(cfg: DictConfig) -> None:
    for key in ("batch_size", "steps_per_epoch", "val_poses", "trainer.max_epochs"):
        if not (isinstance(value := OmegaConf.select(cfg, key), int) and value > 1 - (key != "batch_size")):
            raise InputError(f"{key}={value}: must be a whole number of {2 if key == 'batch_size' else 1} or more")
    if cfg.trainer.devices != 1 or cfg.trainer.num_nodes != 1:
        raise InputError(f"trainer.devices={cfg.trainer.devices}: the lifting network trains in one process")
    if not 0 <= cfg.missing < 1:
        raise InputError(f"missing={cfg.missing}: must be a share of the points, from 0 to below 1")


def _finish(folder: RunFolder, task: LiftingTask, seconds: float) -> None:
    last = task.rows[-1]
    summary = {"status": "completed", "last": last, "seconds": round(seconds, 1), "commit": source_commit()}
    write_json(folder.summary, summary)
    write_half_precision(folder.last, folder.path / NETWORK)
    page = folder.path / "lifting.html"
    write_text(page, training_page(task))
    log.info(
        "%s poses: symmetry %.4f, length %.4f, direction %.3f, MPJPE %.3f of the longest edge, reprojection %.3f",
        *(f"{last['poses']:,.0f}", last["symmetry"], last["length"], last["direction"]),
        *(last["MPJPE"], last["reprojection"]),
    )
    log.info("%s", page)
