"""One run from its configuration to its folder."""

from __future__ import annotations

import logging
import platform
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import WandbLogger

from lynx_pose.building import build_datamodule, build_net, build_task, make, read_annotations
from lynx_pose.callbacks.pose_images import PoseImages
from lynx_pose.callbacks.progress import RunProgress
from lynx_pose.callbacks.run_record import RunRecord
from lynx_pose.callbacks.wandb_logging import wandb_run
from lynx_pose.command import plain_message
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.errors import InputError
from lynx_pose.models.weights import read_checkpoint
from lynx_pose.run_folder import RunFolder, read_json_file, write_json
from lynx_pose.task import PoseTask

log = logging.getLogger(__name__)
# What Lightning says of accelerators and batch limits is in the configuration and in summary.json.
logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
# Lightning asks torch's tree functions in a way that they warn of.
warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
# An epoch that is not validated has no AP to compare, which is no reason to warn.
warnings.filterwarnings("ignore", message=".*could not find the monitored key.*")
# What may differ when a run is continued: how long and on what it trains, and who listens.
CHANGEABLE = ("ckpt", "trainer", "logger", "data.cache", "data.cache_gb")
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

    Raises:
        InputError: something that the user gave cannot be used; the summary says `failed`, and why.
    """
    folder = _folder(cfg, hydra_cfg)
    earlier = folder.read_summary() if cfg.ckpt else {}
    with _recorded(folder, cfg, hydra_cfg) as summary:
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        task, datamodule = _build(cfg, folder)
        summary["data"] = _data_summary(cfg, datamodule)
        log.info("%s: %s", cfg.name, _data_line(summary["data"]))
        record = RunRecord(folder, cfg.keep_poses_at)
        with wandb_run(cfg, folder, _sweep_name(hydra_cfg), earlier.get("wandb")) as logger:
            summary["wandb"] = logger.version if logger else None
            trainer = _trainer(cfg, folder, record, logger)
            if cfg.fit:
                _fit(trainer, task, datamodule, cfg.ckpt)
            else:
                _validate_untrained(trainer, task, datamodule, record)
        summary.update(_result(trainer, record))
    _log_end(summary, folder)
    return summary


def _build(cfg: DictConfig, folder: RunFolder) -> tuple[PoseTask, PoseDataModule]:
    """Make task and data; a run that is continued keeps its split."""
    annotations = read_annotations(cfg)
    net = build_net(cfg, len(annotations.skeleton))
    kept_split = read_json_file(folder.split) if cfg.ckpt else None
    datamodule = build_datamodule(cfg, annotations, net.pose_head, kept_split)
    write_json(folder.split, datamodule.split_ids)
    make(cfg.init)(net, annotations.skeleton)
    if cfg.compile:
        net.compile(mode=cfg.compile)
    return build_task(cfg, net, datamodule), datamodule


def _folder(cfg: DictConfig, hydra_cfg: DictConfig) -> RunFolder:
    """Return Hydra's output folder, if no run lies there yet; a run that is continued goes on in its own."""
    if not cfg.ckpt:
        folder = RunFolder(Path(hydra_cfg.runtime.output_dir))
        if folder.summary.exists():
            raise InputError(
                f"{folder.path}: holds a run already. Choose another folder, or continue it with ckpt={folder.last}"
            )
        return folder
    checkpoint = Path(cfg.ckpt).expanduser()
    folder = RunFolder(checkpoint.resolve().parent.parent)
    if not checkpoint.is_file():
        raise InputError(f"ckpt={cfg.ckpt}: there is no such file; give <run>/checkpoints/last.ckpt")
    differing = differing_keys(cfg, folder.read_config())
    if differing:
        raise InputError(
            f"ckpt={cfg.ckpt}: that run was configured differently in {', '.join(differing)}. Repeat its "
            f"own options, which {folder.overrides} lists, or start a new run from it with init=run "
            f"init.path={folder.path}"
        )
    return folder


def differing_keys(now: DictConfig, then: DictConfig) -> list[str]:
    """Return the top-level keys in which two configurations describe different runs."""
    now, then = (_without(CHANGEABLE, cfg) for cfg in (now, then))
    return [str(key) for key in now if now[key] != then.get(key)]


def _without(keys: Sequence[str], cfg: DictConfig) -> DictConfig:
    """Copy a configuration without some of its (dotted) keys."""
    copy = deepcopy(cfg)
    OmegaConf.set_struct(copy, False)
    for key in keys:
        parent, _, name = key.rpartition(".")
        (OmegaConf.select(copy, parent) if parent else copy).pop(name, None)
    return copy


@contextmanager
def _recorded(folder: RunFolder, cfg: DictConfig, hydra_cfg: DictConfig) -> Iterator[dict[str, Any]]:
    """Keep summary.json true: running, then completed, interrupted or failed, with the reason."""
    summary: dict[str, Any] = {
        "name": cfg.name,
        "status": "running",
        "overrides": list(hydra_cfg.overrides.task),
        "choices": {str(group): choice for group, choice in hydra_cfg.runtime.choices.items() if choice},
        "seed": cfg.seed,
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "threads": torch.get_num_threads(),
    }
    start = time.monotonic()
    write_json(folder.summary, summary)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
            log.error("%s failed: %s", cfg.name, summary["error"])
        raise error
    finally:
        summary["seconds"] = round(time.monotonic() - start, 1)
        write_json(folder.summary, summary)


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


def _trainer(cfg: DictConfig, folder: RunFolder, record: RunRecord, logger: WandbLogger | None) -> pl.Trainer:
    # Checkpoints come last, so that they hold the record of their own epoch.
    callbacks: list[pl.Callback] = [record]
    if logger:
        callbacks += [
            LearningRateMonitor("step"),
            PoseImages(cfg.logger.images_every_n_epochs, cfg.logger.images),
        ]
    if cfg.trainer.enable_progress_bar:
        callbacks.append(RunProgress(record))
    trainer: pl.Trainer = make(
        cfg.trainer,
        callbacks=[*callbacks, *_checkpoints(folder)],
        logger=logger or False,
        default_root_dir=str(folder.path),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
        enable_model_summary=False,
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


def _fit(trainer: pl.Trainer, task: PoseTask, datamodule: PoseDataModule, ckpt: str | None) -> None:
    if ckpt:
        _check_continuable(Path(ckpt))
    trainer.fit(task, datamodule=datamodule, ckpt_path=ckpt, weights_only=True)


def _validate_untrained(trainer: pl.Trainer, task: PoseTask, datamodule: PoseDataModule, record: RunRecord) -> None:
    """Take the figures of the first weights; they are the run's only and so its best."""
    trainer.validate(task, datamodule=datamodule, verbose=False)
    record.add_untrained(trainer, task)
    trainer.save_checkpoint(record.folder.best, weights_only=True)


def _check_continuable(path: Path) -> None:
    """Refuse a file that training cannot continue from, before Lightning fails on it less clearly."""
    content = read_checkpoint(path)
    if "optimizer_states" not in content:
        raise InputError(
            f"ckpt={path}: holds weights but not the state of the training. Continue from last.ckpt, or start a new "
            "run from these weights with init=run init.path=..."
        )


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
