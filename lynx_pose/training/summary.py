"""What summary.json says of a run, from its beginning to its end."""

import logging
import platform
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytorch_lightning as pl
import torch
from hydra.types import RunMode
from omegaconf import DictConfig

from lynx_pose.cli import plain_message
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.data.split import leaks
from lynx_pose.errors import InputError, ProcessError
from lynx_pose.files import read_json, write_json
from lynx_pose.machine import gpu_energy
from lynx_pose.training.callbacks.best_epoch import BestEpoch
from lynx_pose.training.callbacks.epoch_log import EpochLog
from lynx_pose.training.callbacks.throughput import Throughput
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)
Summary = dict[str, Any]
PACKAGES = (
    "torch",
    "pytorch-lightning",
    "timm",
    "albumentations",
    "opencv-python-headless",
    "faster-coco-eval",
)


@contextmanager
def track_summary(folder: RunFolder, cfg: DictConfig, hydra_cfg: DictConfig) -> Iterator[Summary]:
    """Keep summary.json true: running, then completed, interrupted or failed, with the reason."""
    summary = _begin(folder, cfg, hydra_cfg)
    start, energy = time.monotonic(), gpu_energy()
    write_json(folder.summary, summary)

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # At once, because what stops us may not wait until all is closed.
        _write(folder, summary | {"status": "interrupted"})
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield summary
        if summary["status"] == "running":
            summary["status"] = "completed"
    except (KeyboardInterrupt, SystemExit):
        # Lightning shuts down its workers and then exits, after some signals with the code of success.
        summary["status"] = "interrupted"
        log.warning("%s", how_to_continue(folder, cfg, hydra_cfg))
        raise SystemExit(1) from None
    except BaseException as error:  # the summary has to say how a run ended, whatever ended it
        error = explained(error, cfg)
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
        if energy is not None and (after := gpu_energy()) is not None:
            summary["gpu_energy_kj"] = round((after - energy) / 1000, 2)
        _write(folder, summary)


def how_to_continue(folder: RunFolder, cfg: DictConfig, hydra_cfg: DictConfig) -> str:
    """Return what to say of a run that was interrupted: how far it came, and the line that continues it."""
    if not folder.last.is_file():
        return f"{cfg.name}: interrupted in its first epoch, before there was a checkpoint; start it again"
    epoch = read_json(folder.progress)["epoch"] + 1 if folder.progress.is_file() else 0
    if hydra_cfg.mode == RunMode.MULTIRUN:
        return f"{cfg.name}: interrupted after {epoch} epochs; sweep.resume={folder.path.parent} continues it"
    overrides = [one for one in hydra_cfg.overrides.task if not one.startswith("ckpt=")]
    command = shlex.join(["python", "-m", "lynx_pose.train", *overrides, f"ckpt={folder.last}"])
    return f"{cfg.name}: interrupted after {epoch} epochs. To continue:\n  {command}"


def _begin(folder: RunFolder, cfg: DictConfig, hydra_cfg: DictConfig) -> Summary:
    """Return what is known before a run begins, and of its earlier attempt what this one has to keep to."""
    earlier = folder.read_summary()
    summary: Summary = {
        "name": cfg.name,
        "status": "running",
        "overrides": list(hydra_cfg.overrides.task),
        "choices": {str(group): choice for group, choice in hydra_cfg.runtime.choices.items() if choice},
        "seed": cfg.seed,
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "threads": torch.get_num_threads(),
        "commit": source_commit(),
        "wandb": earlier.get("wandb"),
    }
    if "data" in earlier:
        summary["data"] = earlier["data"]
    return summary


def source_commit() -> dict[str, Any] | None:
    """Return the commit of the program, and whether files differ from it; None outside a git checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # A package that is installed into somebody's own repository is not of that repository.
        git("ls-files", "--error-unmatch", __file__)
        return {"id": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _write(folder: RunFolder, summary: Summary) -> None:
    """Write the summary at a run's end; if that cannot be done, the log has to say it."""
    try:
        write_json(folder.summary, summary)
    except OSError as error:
        log.error("%s: could not be written (%s); the run ended as %s", folder.summary, error, summary["status"])


def explained(error: BaseException, cfg: DictConfig) -> BaseException:
    """Turn errors of torch's that options cause into a message that says what to change; return others as they are."""
    size = cfg.loader.batch_size
    if isinstance(error, torch.OutOfMemoryError):
        advice = (
            f"the GPU has too little memory for loader.batch_size={size} with model={cfg.model.name} in "
            f"trainer.precision={cfg.trainer.precision}. loader.batch_size={max(1, size // 2)} "
            "+trainer.accumulate_grad_batches=2 trains with the same number of images a step; "
            "trainer.precision=bf16-mixed takes about half the memory"
        )
    elif isinstance(error, ValueError) and "more than 1 value per channel" in str(error):
        advice = (
            f"loader.batch_size={size} leaves a batch of one animal, over which model={cfg.model.name} cannot average "
            f"its features. loader.batch_size={size + 1}, or a larger model.input_size"
        )
    else:
        return error
    explanation = InputError(advice)
    explanation.__cause__ = error
    return explanation


def add_data(summary: Summary, cfg: DictConfig, datamodule: PoseDataModule, continued: bool) -> None:
    """Note what the run trains on; a run that is continued must find the same.

    Raises:
        InputError: the annotations have changed.
    """
    fingerprint = datamodule.annotations.fingerprint
    earlier = summary.get("data", {}).get("fingerprint", fingerprint)
    if continued and earlier != fingerprint:
        raise InputError(
            f"data={cfg.data.name}: the annotations have changed since the run began (fingerprint {earlier}, now "
            f"{fingerprint}). Continue it with the files that it was trained on, or start a new run"
        )
    summary["data"] = {
        "name": cfg.data.name,
        "fingerprint": fingerprint,
        "split": cfg.data.split,
        "train": len(datamodule.train_records),
        "val": len(datamodule.val_records),
        "test": len(datamodule.test_records),
        "leaks": leaks(datamodule.train_records, datamodule.val_records),
        "skipped": {reason: count for reason, count in datamodule.skipped.items() if count},
    }


def log_data(summary: Summary) -> None:
    """Say in a line what a run trains on."""
    data = summary["data"]
    test = f", {data['test']} to test" if data["test"] else ""
    line = f"{data['train']} animals to train on, {data['val']} to validate on{test}"
    line += f" ({data['name']}, split {data['split']})"
    skipped = ", ".join(f"{reason} ({count})" for reason, count in data["skipped"].items())
    log.info("%s: %s", summary["name"], f"{line}; skipped: {skipped}" if skipped else line)


def add_result(
    summary: Summary, trainer: pl.Trainer, epochs: EpochLog, best: BestEpoch, throughput: Throughput
) -> None:
    """Note what training gave: the best epoch's metrics and the training rate."""
    summary |= {
        "epochs": sum(row["step"] != 0 for row in epochs.rows),
        "best": best.metrics,
        "monitor": best.monitor,
        "images_per_second": round(throughput.images_per_second, 1),
        "data_wait_share": round(throughput.wait_share, 3),
        "precision": str(trainer.precision),
        "device": str(trainer.strategy.root_device),
        "processes": trainer.world_size,
    }
    if torch.cuda.is_available():
        summary["gpu_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)


def log_end(summary: Summary, folder: RunFolder) -> None:
    """Say in a line what a run came to."""
    if best := summary["best"]:
        monitor = summary["monitor"].removeprefix("val/")
        log.info(
            "%s: %sAP %.4f in epoch %d, median error %.1f px, %.0f images/s, %s",
            summary["name"],
            "" if monitor == "AP" else f"{monitor} {best[monitor]:.4g}, ",
            best["AP"],
            best["epoch"],
            best["median_error_px"],
            summary["images_per_second"],
            folder.path,
        )
        if best["AP"] == 0:
            log.warning(
                "%s: AP is 0, the network has learnt nothing that can be used. Train longer (model.epochs=), with "
                "a higher optimizer.lr, from pretrained weights (init=imagenet), or with more animals",
                summary["name"],
            )
