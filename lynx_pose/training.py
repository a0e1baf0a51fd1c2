"""One run from its configuration to its folder."""

from __future__ import annotations

import logging
import os
import platform
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.plugins.environments import ClusterEnvironment

from lynx_pose.announcement import Announcement, Board, Leading, follow_announcement, tell_failure
from lynx_pose.building import build_datamodule, build_net, build_task, make, read_annotations
from lynx_pose.callbacks.pose_images import PoseImages
from lynx_pose.callbacks.progress import RunProgress
from lynx_pose.callbacks.run_record import RunRecord
from lynx_pose.callbacks.wandb_logging import wandb_run
from lynx_pose.checkpoint_io import CheckpointFiles, continuable
from lynx_pose.command import plain_message
from lynx_pose.configuration import differing_keys
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.errors import InputError, ProcessError
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
from lynx_pose.task import PoseTask

log = logging.getLogger(__name__)
# What Lightning says of accelerators and batch limits is in the configuration and in summary.json.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
# Lightning asks torch's tree functions in a way that they warn of.
warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
# Where SLURM is installed, one may still train without it.
warnings.filterwarnings("ignore", message=".*srun.* command is available on your system but is not used.*")
# A run that is continued has checkpoints.
warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
# Every process computes the same figures from all poses.
warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
# An epoch that is not validated has no AP to compare, which is no reason to warn.
warnings.filterwarnings("ignore", message=".*could not find the monitored key.*")
# What may differ when a run is continued: how long and on what it trains, and who listens.
CHANGEABLE = ("ckpt", "trainer", "logger", "data.cache", "data.cache_gb", "loader.num_workers", "sweep")
PACKAGES = (
    "torch",
    "pytorch-lightning",
    "timm",
    "albumentations",
    "opencv-python-headless",
    "faster-coco-eval",
)


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
    folder = _folder(cfg, hydra_cfg)
    with folder.held():
        checkpoint = _checkpoint(cfg, folder)
        _require_own_folder(cfg, hydra_cfg, folder, checkpoint)
        with (
            _recorded(folder, cfg, hydra_cfg) as summary,
            _others(environment, Announcement(cfg, folder, checkpoint)),
        ):
            _lead(environment, cfg, folder, checkpoint, summary, _sweep_name(hydra_cfg))
    _log_end(summary, folder)
    return summary


def join(environment: ClusterEnvironment) -> None:
    """Take part in the run of process 0, as a process that torchrun or SLURM started."""
    leave_signals_to_leader()
    board = Board(environment)
    told = follow_announcement(board)
    log_into(told.folder.rank_log(board.rank))
    try:
        follow(environment, told.cfg, told.folder, told.checkpoint)
    except Exception as error:
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
    _add_data(summary, cfg, datamodule, continued=checkpoint is not None)
    log.info("%s: %s", cfg.name, _data_line(summary["data"]))
    with wandb_run(cfg, folder, sweep, summary["wandb"]) as logger:
        summary["wandb"] = logger.version if logger else None
        # Not only at the end: a run that is killed continues in its own W&B run.
        write_json(folder.summary, summary)
        record = RunRecord(folder, cfg.keep_poses_at)
        files = CheckpointFiles(folder)
        shown = _shown(cfg, record, logger)
        trainer = _trainer(cfg, folder, environment, files, [record, *shown], logger)
        _fit(trainer, task, datamodule, record, cfg.fit, checkpoint)
        files.require_written()
    summary.update(_result(trainer, record))


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
    datamodule = build_datamodule(cfg, annotations, net.pose_head, kept_split)
    make(cfg.init)(net, annotations.skeleton)
    freeze_unused(net, tuple(cfg.model.input_size), len(annotations.skeleton))
    if cfg.compile:
        net.compile(mode=cfg.compile)
    return build_task(cfg, net, datamodule), datamodule


def _folder(cfg: DictConfig, hydra_cfg: DictConfig) -> RunFolder:
    """Return Hydra's output folder, or that of the run which `ckpt` continues."""
    if cfg.ckpt:
        return RunFolder(Path(cfg.ckpt).expanduser().resolve().parent.parent)
    return RunFolder(Path(hydra_cfg.runtime.output_dir))


def _checkpoint(cfg: DictConfig, folder: RunFolder) -> Path | None:
    """Return what to continue from, as asked for by `ckpt`, by a resumed sweep, or by SLURM that starts us again."""
    if cfg.ckpt:
        checkpoint = Path(cfg.ckpt).expanduser()
        if not checkpoint.is_file() and not folder.before_last.is_file():
            raise InputError(f"ckpt={cfg.ckpt}: there is no such file; give <run>/checkpoints/last.ckpt")
        return continuable(checkpoint.resolve())
    if _is_repeated(cfg) and (folder.last.is_file() or folder.before_last.is_file()):
        return continuable(folder.last)
    return None


def _is_repeated(cfg: DictConfig) -> bool:
    """Whether the folder may hold an earlier attempt at this very run."""
    return bool(cfg.sweep.resume) or int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0


def _require_own_folder(cfg: DictConfig, hydra_cfg: DictConfig, folder: RunFolder, checkpoint: Path | None) -> None:
    """Refuse a folder in which another run lies."""
    if cfg.sweep.resume and hydra_cfg.mode != RunMode.MULTIRUN:
        raise InputError(f"sweep.resume={cfg.sweep.resume}: belongs to sweeps; add -m, or continue one run with ckpt=")
    if checkpoint is None:
        if folder.summary.exists() and not _is_repeated(cfg):
            raise InputError(
                f"{folder.path}: holds a run already. Choose another folder, or continue it with ckpt={folder.last}"
            )
        return
    differing = differing_keys(cfg, folder.read_config(), CHANGEABLE)
    if differing:
        raise InputError(
            f"ckpt={cfg.ckpt}: that run was configured differently in {', '.join(differing)}. Repeat its "
            f"own options, which {folder.overrides} lists, or start a new run from it with init=run "
            f"init.path={folder.path}"
        )


@contextmanager
def _recorded(folder: RunFolder, cfg: DictConfig, hydra_cfg: DictConfig) -> Iterator[dict[str, Any]]:
    """Keep summary.json true: running, then completed, interrupted or failed, with the reason."""
    earlier = folder.read_summary()
    summary: dict[str, Any] = {
        "name": cfg.name,
        "status": "running",
        "overrides": list(hydra_cfg.overrides.task),
        "choices": {str(group): choice for group, choice in hydra_cfg.runtime.choices.items() if choice},
        "seed": cfg.seed,
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "threads": torch.get_num_threads(),
        "wandb": earlier.get("wandb"),
    }
    if "data" in earlier:
        summary["data"] = earlier["data"]
    start = time.monotonic()
    write_json(folder.summary, summary)

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # At once, because what stops us may not wait until all is closed.
        write_json(folder.summary, summary | {"status": "interrupted"})
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield summary
        summary["status"] = "completed"
    except (KeyboardInterrupt, SystemExit):
        # Lightning shuts down its workers and then exits, after some signals with the code of success.
        summary["status"] = "interrupted"
        raise SystemExit(1) from None
    except BaseException as error:
        error = memory_advice(error, cfg)
        summary["status"] = "failed"
        summary["error"] = plain_message(error)
        if hydra_cfg.mode == RunMode.MULTIRUN:
            # Hydra reports the first failure only, and not before the sweep's end.
            unforeseen = None if isinstance(error, InputError | ProcessError) else error
            log.error("%s failed: %s", cfg.name, summary["error"], exc_info=unforeseen)
        raise error
    finally:
        signal.signal(signal.SIGTERM, before)
        summary["seconds"] = round(time.monotonic() - start, 1)
        _write_last(folder, summary)


def _write_last(folder: RunFolder, summary: dict[str, Any]) -> None:
    """Write the summary for the last time; if that cannot be done, the log has to say it."""
    try:
        write_json(folder.summary, summary)
    except OSError as error:
        log.error("%s: could not be written (%s); the run ended as %s", folder.summary, error, summary["status"])


def memory_advice(error: BaseException, cfg: DictConfig) -> BaseException:
    """Turn a GPU's lack of memory into a message that says what to change; return other errors as they are."""
    if not isinstance(error, torch.OutOfMemoryError):
        return error
    size = cfg.loader.batch_size
    advice = InputError(
        f"the GPU has too little memory for loader.batch_size={size} with model={cfg.model.name} in "
        f"trainer.precision={cfg.trainer.precision}. loader.batch_size={max(1, size // 2)} "
        "+trainer.accumulate_grad_batches=2 trains with the same number of images a step; "
        "trainer.precision=bf16-mixed takes about half the memory"
    )
    advice.__cause__ = error
    return advice


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
        callbacks=[*callbacks, *_checkpoints(folder)],
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
    """Name the sweep by the last two parts of its folder, its date and time; None outside sweeps."""
    if hydra_cfg.mode != RunMode.MULTIRUN:
        return None
    return "_".join(Path(hydra_cfg.sweep.dir).parts[-2:])


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


def _add_data(summary: dict[str, Any], cfg: DictConfig, datamodule: PoseDataModule, continued: bool) -> None:
    """Note what the run trains on; a run that is continued must find the same."""
    data = _data_summary(cfg, datamodule)
    earlier = summary.get("data", {}).get("fingerprint", data["fingerprint"])
    if continued and earlier != data["fingerprint"]:
        raise InputError(
            f"data={cfg.data.name}: the annotations have changed since the run began (fingerprint {earlier}, now "
            f"{data['fingerprint']}). Continue it with the files that it was trained on, or start a new run"
        )
    summary["data"] = data


def _data_summary(cfg: DictConfig, datamodule: PoseDataModule) -> dict[str, Any]:
    return {
        "name": cfg.data.name,
        "fingerprint": datamodule.annotations.fingerprint,
        "split": cfg.split,
        "train": len(datamodule.train_records),
        "val": len(datamodule.val_records),
        "left_out": {reason: count for reason, count in datamodule.left_out.items() if count},
    }


def _data_line(data: dict[str, Any]) -> str:
    line = f"{data['train']} animals to train on, {data['val']} to validate on ({data['name']}, split {data['split']})"
    left_out = ", ".join(f"{count} {reason}" for reason, count in data["left_out"].items())
    return f"{line}; left out: {left_out}" if left_out else line


def _result(trainer: pl.Trainer, record: RunRecord) -> dict[str, Any]:
    """Return what training gave: the best epoch's figures and the training rate."""
    best = {name.removeprefix("val/"): value for name, value in (record.best or {}).items()}
    return {
        "epochs": sum(row["step"] != 0 for row in record.rows),
        "best": best,
        "images_per_second": round(record.train_images / max(record.train_seconds, 1e-9), 1),
        "data_wait_share": round(record.wait_share, 3),
        "precision": str(trainer.precision),
        "device": str(trainer.strategy.root_device),
        "processes": trainer.world_size,
    }


def _log_end(summary: dict[str, Any], folder: RunFolder) -> None:
    best = summary["best"]
    if best:
        log.info(
            "%s: AP %.4f in epoch %d, median error %.1f px, %.0f images/s, %s",
            summary["name"],
            best["AP"],
            best["epoch"],
            best["median_error_px"],
            summary["images_per_second"],
            folder.path,
        )
