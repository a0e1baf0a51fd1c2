"""The work of `python -m lynx_pose.pretrain`: one run from its configuration to its folder."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint

from lynx_pose.arrays import Pixels
from lynx_pose.config import instantiate
from lynx_pose.distributed.supervisor import LocalEnvironment
from lynx_pose.errors import InputError
from lynx_pose.files import atomic_path, write_json
from lynx_pose.prediction.box_sources import read_boxes
from lynx_pose.prediction.media import find_media
from lynx_pose.pretraining.pretraining_task import PretrainingTask
from lynx_pose.pretraining.unlabelled import ROOM, cut_crops
from lynx_pose.training.callbacks.epoch_table import EpochTable
from lynx_pose.training.checkpoint import AtomicCheckpointIO, resumable_checkpoint
from lynx_pose.training.resume import find_run_folder, require_same_run
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.summary import source_commit
from lynx_pose.training.trainer import make_trainer

log = logging.getLogger(__name__)
# What may change when a run is continued.
MAY_CHANGE = ("ckpt", "hydra", "trainer.enable_progress_bar")
SHOWN = 8


def pretrain(cfg: DictConfig) -> Mapping[str, float]:
    """Train a backbone as configured in `conf/pretrain.yaml`; the run's folder gets metrics.csv, summary.json,
    reconstructions.jpg and checkpoints/best.ckpt, for `init=run init.part=backbone.`.

    Returns:
        the last epoch's row.

    Raises:
        InputError: an option, a photograph or a box cannot be used, or the folder holds another run.
    """
    _check(cfg)
    folder = find_run_folder(cfg, HydraConfig.get())
    with folder.locked():
        checkpoint = resumable_checkpoint(Path(cfg.ckpt).expanduser().resolve()) if cfg.ckpt else None
        require_same_run(cfg, folder, MAY_CHANGE)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        net = instantiate(cfg.method)
        train_crops, val_crops = _sides(_crops(cfg, folder), cfg.val_fraction)
        log.info("%d animals to train on, %d to validate on", len(train_crops), len(val_crops))
        task = PretrainingTask(
            net=net,
            train_crops=train_crops,
            val_crops=val_crops,
            side=cfg.input_size,
            optimizer=instantiate(cfg.optimizer),
            schedule=instantiate(cfg.schedule),
            batch_size=cfg.batch_size,
            epochs=cfg.trainer.max_epochs,
            seed=cfg.seed,
        )
        files, start = AtomicCheckpointIO(folder), time.monotonic()
        trainer = make_trainer(
            cfg,
            LocalEnvironment(),
            callbacks=[EpochTable(folder), ModelCheckpoint(folder.last.parent, "last", enable_version_counter=False)],
            plugins=[files],
            logger=False,
            default_root_dir=str(folder.path),
        )
        try:
            trainer.fit(task, ckpt_path=checkpoint, weights_only=True)
        except ValueError as error:
            raise _explained(error, cfg.batch_size, len(train_crops)) from None
        trainer.save_checkpoint(folder.best, weights_only=True)
        files.require_written()
        _finish(folder, task, time.monotonic() - start)
    return task.rows[-1]


def _explained(error: ValueError, batch_size: int, animals: int) -> Exception:
    """Turn the error of a batch of one into a message that says what to change; return others as they are."""
    if "more than 1 value per channel" not in str(error):
        return error
    return InputError(
        f"batch_size={batch_size}: {animals} animals leave a batch of one, over whose single cell of features the "
        f"network cannot average. batch_size={batch_size + 1}, or a larger input_size"
    )


def _check(cfg: DictConfig) -> None:
    for key, missing in (
        ("images", "a folder of photographs"),
        ("boxes", "a file of boxes, or image for whole images"),
    ):
        if OmegaConf.is_missing(cfg, key):
            raise InputError(f"{key}= is missing: give {missing}")
    if cfg.trainer.devices != 1 or cfg.trainer.num_nodes != 1:
        raise InputError(f"trainer.devices={cfg.trainer.devices}: pretraining runs in one process")


def _crops(cfg: DictConfig, folder: RunFolder) -> Pixels:
    media = find_media(cfg.images)
    boxes = read_boxes(cfg.boxes, media, cfg.box_category, cfg.box_confidence)
    return cut_crops(media, boxes, round(ROOM * cfg.input_size), folder.path / "crops.npy")


def _sides(crops: Pixels, fraction: float) -> tuple[Pixels, Pixels]:
    """Divide crops at a place in their order, so that a burst is not on both sides but for one."""
    count = max(1, round(fraction * len(crops)))
    if len(crops) < 2 or not 0 < fraction < 1:
        raise InputError(f"val_fraction={fraction}: of {len(crops)} animals, some must train and some validate")
    return crops[:-count], crops[-count:]


def _finish(folder: RunFolder, task: PretrainingTask, seconds: float) -> None:
    last: dict[str, Any] = task.rows[-1]
    summary = {"status": "completed", "last": last, "seconds": round(seconds, 1), "commit": source_commit()}
    write_json(folder.summary, summary)
    sheet = folder.path / "reconstructions.jpg"
    with atomic_path(sheet) as draft:
        _, encoded = cv2.imencode(".jpg", _sheet(task)[..., ::-1])
        draft.write_bytes(encoded.tobytes())
    log.info("loss %.4f on animals that it was not trained on; %s", last["val/loss"], sheet)
    log.info("python -m lynx_pose.train model=... init=run init.path=%s init.part=backbone.", folder.path)


def _sheet(task: PretrainingTask) -> Pixels:
    """Return validation crops, what the network saw of them and what it made of that, one above the other."""
    positions = np.linspace(0, len(task.val_set) - 1, SHOWN).round().astype(int)
    crops = task.val_set.__getitems__([(0, int(position)) for position in positions]).to(task.device)
    task.net.eval()
    seen, made = task.net.reconstruct(crops, task.generator(-1))
    rows = [torch.cat(list(images), dim=1) for images in (crops, seen, made)]
    sheet: Pixels = torch.cat(rows).cpu().numpy()
    return sheet
