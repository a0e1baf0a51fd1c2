"""From a configuration to the objects that it describes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from lynx_pose.data.augment.pipeline import Augmentation
from lynx_pose.data.crop import WarpMatrix
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.data.photograph import PhotographFiles, Photographs
from lynx_pose.data.records import Annotations, PoseRecord
from lynx_pose.data.region_cache import RegionCache
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.instantiation import make
from lynx_pose.metrics.object_scale import annotated_area
from lynx_pose.metrics.pose_evaluation import PoseEvaluation
from lynx_pose.models.pose_net import PoseNet
from lynx_pose.task import PoseTask

# Of conf/aug; the rest of it says how long and whether a run trains.
AUGMENTATION = ("_target_", "name", "stage", "geometry", "photometric")
ObjectScale = Callable[[Sequence[PoseRecord]], NDArray[np.float64]]


def read_annotations(cfg: DictConfig) -> Annotations:
    """Read the dataset that the configuration names."""
    annotations: Annotations = make(cfg.data.reader)
    skeleton = annotations.skeleton
    sigmas = cfg.data.get("sigmas")
    if sigmas is not None:
        skeleton = skeleton.with_sigmas(sigmas if isinstance(sigmas, int | float) else list(sigmas))
    if cfg.data.get("keypoint_weights"):
        skeleton = skeleton.with_weights(cfg.data.keypoint_weights)
    return replace(annotations, skeleton=skeleton)


def build_augmentation(cfg: DictConfig) -> Augmentation:
    """Make the training augmentation; an argument that a transform does not know is an error."""
    with warnings.catch_warnings():
        # albumentations only warns of unknown arguments, and then runs with its own defaults.
        warnings.simplefilter("error", UserWarning)
        try:
            augmentation: Augmentation = make(OmegaConf.masked_copy(cfg.aug, list(AUGMENTATION)))
        except InstantiationException as error:
            raise InputError(f"aug={cfg.aug.get('name')}: {error.__cause__ or error}") from error
    return augmentation


def build_datamodule(
    cfg: DictConfig,
    annotations: Annotations,
    warp_matrix: WarpMatrix,
    kept_split: dict[str, list[str]] | None = None,
) -> PoseDataModule:
    """Make the data module; the crop's map is that of the head's codec."""
    width, height = cfg.model.input_size
    return PoseDataModule(
        annotations=annotations,
        augmentation=build_augmentation(cfg),
        warp_matrix=warp_matrix,
        input_size=(width, height),
        split=cfg.split,
        train_fraction=cfg.data.train_fraction,
        split_seed=cfg.data.split_seed,
        kept_split=kept_split,
        seed=cfg.seed,
        batch_size=cfg.loader.batch_size,
        num_workers=cfg.loader.num_workers,
        on_error=cfg.data.on_error,
        photographs=open_photographs(cfg),
    )


def open_photographs(cfg: DictConfig) -> Photographs:
    """Make what opens photographs: the cache, or their files."""
    # Runs of the first versions have no cache.
    folder = cfg.data.get("cache")
    if folder in (None, "none"):
        return PhotographFiles()
    return RegionCache(folder, cfg.data.cache_gb)


def object_areas(cfg: DictConfig, records: Sequence[PoseRecord]) -> NDArray[np.float64]:
    """Return the squared object scale of each record, as configured."""
    # Runs of the first versions have no object_scale.
    measure: ObjectScale = make(cfg.object_scale) if "object_scale" in cfg else annotated_area
    return measure(records)


def build_task(cfg: DictConfig, net: PoseNet, datamodule: PoseDataModule) -> PoseTask:
    """Make the task that trains the network on the data."""
    skeleton = datamodule.skeleton
    return PoseTask(
        net=net,
        skeleton=skeleton,
        evaluation=PoseEvaluation(datamodule.val_records, skeleton.sigmas, object_areas(cfg, datamodule.val_records)),
        optimizer=make(cfg.optimizer),
        schedule=make(cfg.schedule),
        flip_test=cfg.flip_test,
        note=checkpoint_note(cfg, skeleton),
    )


def checkpoint_note(cfg: DictConfig, skeleton: Skeleton) -> dict[str, Any]:
    """Return what a checkpoint must carry to be loaded by itself."""
    wanted = OmegaConf.masked_copy(cfg, ["name", "model", "head", "flip_test"])
    return {"config": OmegaConf.to_container(wanted, resolve=False), "skeleton": skeleton.to_dict()}
