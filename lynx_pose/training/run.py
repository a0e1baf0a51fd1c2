"""One run from its configuration to its folder.

`train` is the story of rank 0: find folder and checkpoint, keep the summary, have the other ranks work, fit.
`train_rank` is what the others do.
"""

import logging
import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.plugins.environments import ClusterEnvironment

from lynx_pose.config import check_options, instantiate
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.data.plausibility import check_plausible
from lynx_pose.distributed.rendezvous import ExternalWorkers, Rendezvous, RunSpec, joined_run, report_failure
from lynx_pose.distributed.signals import KeepSignalHandlers, ignore_termination_signals
from lynx_pose.distributed.supervisor import (
    LocalEnvironment,
    SpawnedWorkers,
    external_environment,
    log_to_file,
    num_local_processes,
)
from lynx_pose.errors import InputError
from lynx_pose.files import read_json, write_json
from lynx_pose.machine import threads_beside_others
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import (
    build_datamodule,
    build_task,
    check_half_body,
    freeze_unused,
    read_annotations,
    require_whole_photographs,
)
from lynx_pose.training.callbacks.best_epoch import BestEpoch
from lynx_pose.training.callbacks.cuda_graph_steps import CudaGraphSteps
from lynx_pose.training.callbacks.epoch_log import EpochLog
from lynx_pose.training.callbacks.pose_images import PoseImages
from lynx_pose.training.callbacks.progress_bar import RunProgressBar
from lynx_pose.training.callbacks.throughput import Throughput
from lynx_pose.training.checkpoint import AtomicCheckpointIO
from lynx_pose.training.early_end import Pause, early_end, why_ended
from lynx_pose.training.resume import find_checkpoint, find_run_folder, require_own_folder
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.summary import Summary, add_data, add_result, log_data, log_end, track_summary
from lynx_pose.training.task import PoseTask
from lynx_pose.training.trainer import make_trainer
from lynx_pose.training.wandb_run import wandb_group, wandb_run

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> Summary:
    """Train as configured in `conf/train.yaml` and return the run's summary, which is also written to its folder.

    Returns:
        The summary; nothing in processes other than rank 0 that torchrun or SLURM started.

    Raises:
        InputError: something that the user gave cannot be used; the summary says `failed`, and why.
        ProcessError: another process of the run failed.
    """
    environment = external_environment() or LocalEnvironment()
    if environment.global_rank() > 0:
        join(environment)
        return {}
    hydra_cfg = HydraConfig.get()
    folder = find_run_folder(cfg, hydra_cfg)
    with folder.locked():
        checkpoint = find_checkpoint(cfg, folder)
        # Jobs of a sweep have their share of the cores.
        if hydra_cfg.mode == RunMode.RUN and "OMP_NUM_THREADS" not in os.environ:
            _choose_threads(folder.read_summary().get("threads") if checkpoint else None)
        require_own_folder(cfg, hydra_cfg, folder, checkpoint)
        spec = RunSpec(cfg, folder, checkpoint)
        with track_summary(folder, cfg, hydra_cfg) as summary, _workers(environment, spec):
            task, datamodule = _build(spec)
            write_json(folder.split, datamodule.split_ids)
            add_data(summary, cfg, datamodule, continued=checkpoint is not None)
            log_data(summary)
            with wandb_run(cfg, folder, wandb_group(hydra_cfg), summary["wandb"]) as logger:
                # Where it cannot be had this time, a later attempt still continues the W&B run of the earlier one.
                summary["wandb"] = logger.version if logger else summary["wandb"]
                # Not only at the end: a run that is killed continues in its own W&B run.
                write_json(folder.summary, summary)
                _fit(environment, spec, task, datamodule, summary, logger)
    log_end(summary, folder)
    return summary


def _choose_threads(earlier: int | None) -> None:
    """Leave cores to other programs that compute, and say so; a run that is continued keeps its number of threads.

    The last digits of a run depend on it.
    """
    usual = torch.get_num_threads()
    threads = earlier or threads_beside_others(usual)
    if threads != usual:
        torch.set_num_threads(threads)
        why = "as the run began with" if earlier else "because other programs use the machine"
        log.warning("%d of %d threads, %s; OMP_NUM_THREADS= chooses", threads, usual, why)


def train_rank(environment: ClusterEnvironment, spec: RunSpec) -> None:
    """Do the work of a process other than rank 0: train, and be silent."""
    task, datamodule = _build(spec)
    _fit(environment, spec, task, datamodule)


def join(environment: ClusterEnvironment | None = None) -> None:
    """Take part in the run of rank 0, as a process that torchrun or SLURM started."""
    environment = environment or external_environment()
    assert environment is not None, "a rank other than 0 comes from torchrun or srun"
    ignore_termination_signals()
    rendezvous = Rendezvous(environment)
    with joined_run(rendezvous) as spec:
        log_to_file(spec.folder.rank_log(rendezvous.rank))
        try:
            train_rank(environment, spec)
        except Exception as error:  # rank 0 has to hear of any
            log.exception("process %d failed", rendezvous.rank)
            report_failure(rendezvous, error)


def _workers(environment: ClusterEnvironment, spec: RunSpec) -> ExternalWorkers | SpawnedWorkers:
    """Supervise the other processes of the run; start them, unless torchrun or SLURM did."""
    if not isinstance(environment, LocalEnvironment):
        return ExternalWorkers(Rendezvous(environment), spec)
    trainer = spec.cfg.trainer
    if trainer.num_nodes != 1:
        raise InputError(f"trainer.num_nodes={trainer.num_nodes}: several nodes need SLURM or torchrun")
    resolved = RunSpec.from_json(spec.to_json())
    return SpawnedWorkers(num_local_processes(trainer), environment.port, train_rank, (resolved,), spec.folder)


def _build(spec: RunSpec) -> tuple[PoseTask, PoseDataModule]:
    """Make task and data, the same in every process; a run that is continued keeps its split."""
    cfg = spec.cfg
    check_options(cfg)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    annotations = read_annotations(cfg)
    check_plausible(annotations.records)
    net = build_net(cfg, len(annotations.skeleton))
    kept_split = read_json(spec.folder.split) if spec.checkpoint else None
    datamodule = build_datamodule(cfg, annotations, net.head.crop_convention, kept_split)
    check_half_body(datamodule.augmentation, annotations.skeleton)
    require_whole_photographs(net, datamodule)
    instantiate(cfg.init)(net, annotations.skeleton)
    freeze_unused(net, tuple(cfg.model.input_size), len(annotations.skeleton))
    if cfg.compile:
        net.compile(mode=cfg.compile)
    return build_task(cfg, net, datamodule), datamodule


def _fit(
    environment: ClusterEnvironment,
    spec: RunSpec,
    task: PoseTask,
    datamodule: PoseDataModule,
    summary: Summary | None = None,
    logger: WandbLogger | None = None,
) -> None:
    """Train, or with `fit=false` validate the initial weights; rank 0 notes in the summary what came of it."""
    cfg, folder = spec.cfg, spec.folder
    throughput, best = Throughput(), BestEpoch(folder, cfg.monitor)
    pause = Pause(cfg.sweep.pause_at)
    # A race compares the poses of the epoch after which a run pauses.
    epochs = EpochLog(folder, best, throughput, [*cfg.keep_poses_at, (pause.epochs or 0) - 1])
    files = AtomicCheckpointIO(folder)
    trials = _trial_report(cfg, folder, summary is not None)
    callbacks: list[pl.Callback] = [KeepSignalHandlers(), throughput, best, epochs, pause, *early_end(cfg), *trials]
    # After what keeps the best epoch: an average of weights leaves the network then.
    callbacks += instantiate(cfg.callback).values()
    if cfg.compile:
        callbacks.append(CudaGraphSteps())
    if logger:
        callbacks += [LearningRateMonitor("step"), PoseImages(cfg.logger.images_every_n_epochs, cfg.logger.images)]
    shows_progress = summary is not None and cfg.trainer.enable_progress_bar
    if shows_progress:
        callbacks.append(RunProgressBar(throughput))
    trainer = make_trainer(
        cfg,
        environment,
        # The checkpoint of the last epoch comes last, so that it holds what the other callbacks made of that epoch.
        callbacks=[*callbacks, _last_checkpoint(folder)],
        plugins=[files],
        logger=[*([logger] if logger else []), *_more_loggers(cfg, folder)] if summary is not None else False,
        default_root_dir=str(folder.path),
        enable_progress_bar=shows_progress,
    )
    if cfg.fit:
        trainer.fit(task, datamodule=datamodule, ckpt_path=spec.checkpoint, weights_only=True)
    else:
        trainer.validate(task, datamodule=datamodule, verbose=False)
        best.keep_untrained(trainer, task)
        epochs.add_untrained(trainer, task)
    if summary is not None:
        files.require_written()
        add_result(summary, trainer, epochs, best, throughput)
        _note_early_end(cfg, summary, trainer, pause, pruned=any(trial.pruned for trial in trials))


def _note_early_end(cfg: DictConfig, summary: Summary, trainer: pl.Trainer, pause: Pause, pruned: bool) -> None:
    """Say in the summary whether and why a run ended before its last epoch."""
    if pruned:
        summary["status"] = "pruned"
        log.info("%s: pruned after %d of %d epochs", cfg.name, *_epochs(trainer))
    elif pause.paused(trainer):
        summary["status"] = "paused"
    elif cfg.fit and (reason := why_ended(trainer)):
        summary["ended_early"] = reason
        log.info("%s: ended after %d of %d epochs: %s", cfg.name, *_epochs(trainer), reason)


def _trial_report(cfg: DictConfig, folder: RunFolder, is_first: bool) -> list[Any]:
    """Make what tells a search how its trial does; nothing outside searches."""
    if cfg.sweep.trial is None:
        return []
    # Imported here, because Optuna is needed for searches alone.
    from lynx_pose.training.callbacks.trial_report import TrialReport

    sweeper = HydraConfig.get().sweeper if is_first else None
    return [TrialReport(sweeper, folder.path.parent, cfg.sweep.trial)]


def _more_loggers(cfg: DictConfig, folder: RunFolder) -> list[Logger]:
    """Make the loggers beside Weights & Biases, which write into the run's folder."""
    try:
        return [instantiate(one, save_dir=str(folder.path)) for one in (cfg.logger.get("more") or {}).values()]
    except ModuleNotFoundError as error:
        raise InputError(f"logger: {str(error).splitlines()[0]}") from None


def _epochs(trainer: pl.Trainer) -> tuple[int, int]:
    return trainer.current_epoch, trainer.max_epochs or 0


def _last_checkpoint(folder: RunFolder) -> ModelCheckpoint:
    """Keep all that it takes to continue from the last epoch."""
    last: Path = folder.last
    options: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
    return ModelCheckpoint(last.parent, last.stem, **options)
