"""One run from its configuration to its folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.plugins.environments import ClusterEnvironment

from lynx_pose.announcement import Announcement, Board, Leading, following, tell_failure
from lynx_pose.building import build_datamodule, build_task, read_annotations
from lynx_pose.callbacks.graph_steps import GraphSteps
from lynx_pose.callbacks.own_signals import OwnSignals
from lynx_pose.callbacks.pose_images import PoseImages
from lynx_pose.callbacks.progress import RunProgress
from lynx_pose.callbacks.run_record import RunRecord
from lynx_pose.callbacks.wandb_logging import group_of, wandb_run
from lynx_pose.checkpoint_io import CheckpointFiles
from lynx_pose.continuation import checkpoint_of, require_own_folder, run_folder_of
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.errors import InputError
from lynx_pose.instantiation import make
from lynx_pose.models.build import build_net
from lynx_pose.models.unused import freeze_unused
from lynx_pose.options import check_options
from lynx_pose.processes import (
    Followers,
    OwnEnvironment,
    leave_signals_to_leader,
    local_processes,
    log_into,
    outer_environment,
    outer_layout,
)
from lynx_pose.run_folder import RunFolder, read_json_file, write_json
from lynx_pose.run_summary import add_data, data_line, log_end, recorded, result
from lynx_pose.silence import silence_lightning
from lynx_pose.task import PoseTask

log = logging.getLogger(__name__)
silence_lightning()


def train(cfg: DictConfig, hydra_cfg: DictConfig) -> dict[str, Any]:
    """Train as configured and return the run's summary, which is also written to its folder.

    Args:
        cfg: the composed configuration of `conf/train.yaml`.
        hydra_cfg: Hydra's own, which names the output folder and the sweep.

    Returns:
        The summary; nothing in processes other than 0 that torchrun or SLURM started.

    Raises:
        InputError: something that the user gave cannot be used; the summary says `failed`, and why.
        ProcessError: another process of the run failed.
    """
    environment = outer_environment() or OwnEnvironment()
    if environment.global_rank() > 0:
        join(environment)
        return {}
    folder = run_folder_of(cfg, hydra_cfg)
    with folder.held():
        checkpoint = checkpoint_of(cfg, folder)
        require_own_folder(cfg, hydra_cfg, folder, checkpoint)
        with (
            recorded(folder, cfg, hydra_cfg) as summary,
            _others(environment, Announcement(cfg, folder, checkpoint)),
        ):
            _lead(environment, cfg, folder, checkpoint, summary, _sweep_name(hydra_cfg))
    log_end(summary, folder)
    return summary


def join(environment: ClusterEnvironment) -> None:
    """Take part in the run of process 0, as a process that torchrun or SLURM started."""
    leave_signals_to_leader()
    board = Board(environment)
    with following(board) as told:
        log_into(told.folder.rank_log(board.rank))
        try:
            follow(environment, told.cfg, told.folder, told.checkpoint)
        except Exception as error:  # process 0 has to hear of any
            log.exception("process %d failed", board.rank)
            tell_failure(board, error)


def _others(environment: ClusterEnvironment, announcement: Announcement) -> Leading | Followers:
    """Lead the other processes of the run; start them, unless torchrun or SLURM did."""
    cfg = announcement.cfg
    if not isinstance(environment, OwnEnvironment):
        return Leading(Board(environment), announcement)
    if cfg.trainer.num_nodes != 1:
        raise InputError(f"trainer.num_nodes={cfg.trainer.num_nodes}: several nodes need SLURM or torchrun")
    resolved = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True))
    arguments = (resolved, announcement.folder, announcement.checkpoint)
    return Followers(local_processes(cfg.trainer), environment.port, follow, arguments, announcement.folder)


def _lead(
    environment: ClusterEnvironment,
    cfg: DictConfig,
    folder: RunFolder,
    checkpoint: Path | None,
    summary: dict[str, Any],
    sweep: str | None,
) -> None:
    """Do process 0's work: train, and tell the world."""
    task, datamodule = _build(cfg, folder, checkpoint)
    write_json(folder.split, datamodule.split_ids)
    add_data(summary, cfg, datamodule, continued=checkpoint is not None)
    log.info("%s: %s", cfg.name, data_line(summary["data"]))
    with wandb_run(cfg, folder, sweep, summary["wandb"]) as logger:
        # Where it cannot be had this time, a later attempt still continues the W&B run of the earlier one.
        summary["wandb"] = logger.version if logger else summary["wandb"]
        # Not only at the end: a run that is killed continues in its own W&B run.
        write_json(folder.summary, summary)
        record = RunRecord(folder, cfg.keep_poses_at)
        files = CheckpointFiles(folder)
        shown = _shown(cfg, record, logger)
        trainer = _trainer(cfg, folder, environment, files, [record, *shown], logger)
        _fit(trainer, task, datamodule, record, cfg.fit, checkpoint)
        files.require_written()
    summary.update(result(trainer, record))


def follow(environment: ClusterEnvironment, cfg: DictConfig, folder: RunFolder, checkpoint: Path | None) -> None:
    """Do the work of a process other than 0: train, and be silent."""
    task, datamodule = _build(cfg, folder, checkpoint)
    record = RunRecord(folder, cfg.keep_poses_at)
    trainer = _trainer(cfg, folder, environment, CheckpointFiles(folder), [record])
    _fit(trainer, task, datamodule, record, cfg.fit, checkpoint)


def _build(cfg: DictConfig, folder: RunFolder, checkpoint: Path | None) -> tuple[PoseTask, PoseDataModule]:
    """Make task and data, the same in every process; a run that is continued keeps its split."""
    check_options(cfg)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    annotations = read_annotations(cfg)
    net = build_net(cfg, len(annotations.skeleton))
    kept_split = read_json_file(folder.split) if checkpoint else None
    datamodule = build_datamodule(cfg, annotations, net.pose_head.warp_matrix, kept_split)
    make(cfg.init)(net, annotations.skeleton)
    freeze_unused(net, tuple(cfg.model.input_size), len(annotations.skeleton))
    if cfg.compile:
        net.compile(mode=cfg.compile)
    return build_task(cfg, net, datamodule), datamodule


def _shown(cfg: DictConfig, record: RunRecord, logger: WandbLogger | None) -> list[pl.Callback]:
    """Make what people watch while process 0 trains."""
    callbacks: list[pl.Callback] = []
    if logger:
        callbacks += [
            LearningRateMonitor("step"),
            PoseImages(cfg.logger.images_every_n_epochs, cfg.logger.images),
        ]
    if cfg.trainer.enable_progress_bar:
        callbacks.append(RunProgress(record))
    return callbacks


def _trainer(
    cfg: DictConfig,
    folder: RunFolder,
    environment: ClusterEnvironment,
    files: CheckpointFiles,
    callbacks: Sequence[pl.Callback],
    logger: WandbLogger | None = None,
) -> pl.Trainer:
    trainer: pl.Trainer = make(
        cfg.trainer,
        # Checkpoints come last, so that they hold the record of their own epoch.
        callbacks=[OwnSignals(), *([GraphSteps()] if cfg.compile else []), *callbacks, *_checkpoints(folder)],
        plugins=[environment, files],
        logger=logger or False,
        default_root_dir=str(folder.path),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(callback, RunProgress) for callback in callbacks),
        **outer_layout(environment),
    )
    return trainer


def _checkpoints(folder: RunFolder) -> list[pl.Callback]:
    """Keep the weights of the best epoch, and all that it takes to continue from the last one."""
    common: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    best, last = folder.best, folder.last
    return [
        ModelCheckpoint(best.parent, best.stem, monitor="val/AP", mode="max", save_weights_only=True, **common),
        ModelCheckpoint(last.parent, last.stem, **common),
    ]


def _sweep_name(hydra_cfg: DictConfig) -> str | None:
    """Name the sweep as W&B does; None outside sweeps."""
    return group_of(Path(hydra_cfg.sweep.dir)) if hydra_cfg.mode == RunMode.MULTIRUN else None


def _fit(
    trainer: pl.Trainer,
    task: PoseTask,
    datamodule: PoseDataModule,
    record: RunRecord,
    trained: bool,
    checkpoint: Path | None,
) -> None:
    if trained:
        trainer.fit(task, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
        return
    # The figures of the first weights are the run's only ones and so its best.
    trainer.validate(task, datamodule=datamodule, verbose=False)
    record.add_untrained(trainer, task)
    trainer.save_checkpoint(record.folder.best, weights_only=True)
