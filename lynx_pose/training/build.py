"""From a configuration to the objects that it describes."""

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from lynx_pose.arrays import Floats
from lynx_pose.augment.half_body import HalfBody
from lynx_pose.augment.pipeline import Augmentation
from lynx_pose.config import instantiate
from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.data.crop import CropConvention
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.data.image_cache import ImageCache
from lynx_pose.data.image_source import ImageFiles, ImageSource
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.data.split import Selection, SplitOptions
from lynx_pose.errors import InputError
from lynx_pose.metrics.validation_metric import ValidationMetric
from lynx_pose.models.pose_net import PoseNet
from lynx_pose.training.task import PoseTask

log = logging.getLogger(__name__)


def read_annotations(cfg: DictConfig) -> Annotations:
    """Read the dataset that the configuration names, with the OKS sigmas and loss weights that it gives."""
    annotations: Annotations = instantiate(cfg.data.reader)
    sigmas = cfg.data.get("sigmas")
    sigmas = list(sigmas) if OmegaConf.is_list(sigmas) else sigmas
    skeleton = annotations.skeleton.with_sigmas(sigmas, cfg.data.get("default_sigma", 0.05))
    if cfg.data.get("keypoint_weights"):
        skeleton = skeleton.with_weights(cfg.data.keypoint_weights)
    return replace(annotations, skeleton=skeleton)


def build_augmentation(cfg: DictConfig) -> Augmentation:
    """Make the training augmentation; an argument that a transform does not know is an error."""
    with warnings.catch_warnings():
        # albumentations only warns of unknown arguments, and then runs with its own defaults.
        warnings.filterwarnings("error", ".*not valid for transform", UserWarning)
        try:
            augmentation: Augmentation = instantiate(cfg.aug)
        except InstantiationException as error:
            raise InputError(f"aug={cfg.aug.get('name')}: {error.__cause__ or error}") from error
    return augmentation


def build_datamodule(
    cfg: DictConfig,
    annotations: Annotations,
    crop_convention: CropConvention,
    kept_split: dict[str, list[str]] | None = None,
) -> PoseDataModule:
    """Make the data module; the crop's convention is that of the head's codec."""
    width, height = cfg.model.input_size
    return PoseDataModule(
        annotations=annotations,
        samples=instantiate(cfg.model.samples),
        augmentation=build_augmentation(cfg),
        crop_convention=crop_convention,
        input_size=(width, height),
        split=split_options(cfg),
        selection=Selection(
            cfg.data.train_species,
            cfg.data.val_species,
            cfg.data.train_animals,
            cfg.data.train_animals_seed,
            cfg.data.test_species,
        ),
        kept_split=kept_split,
        seed=cfg.seed,
        batch_size=cfg.loader.batch_size,
        num_workers=cfg.loader.num_workers,
        on_error=cfg.data.on_error,
        images=open_images(cfg),
    )


def split_options(cfg: DictConfig) -> SplitOptions:
    """Return how the configuration divides the records."""
    data = cfg.data
    return SplitOptions(data.split, data.train_fraction, data.split_seed, data.test, data.fold, data.folds)


def open_images(cfg: DictConfig) -> ImageSource:
    """Make what opens images: the cache, or their files."""
    if cfg.data.cache in (None, "none"):
        return ImageFiles()
    return ImageCache(cfg.data.cache, cfg.data.cache_gb)


def object_areas(cfg: DictConfig, records: Sequence[PoseRecord]) -> Floats:
    """Return the squared object scale [N] of each record, as configured."""
    measure: Callable[[Sequence[PoseRecord]], Floats] = instantiate(cfg.object_scale)
    return measure(records)


def build_metric(cfg: DictConfig, records: Sequence[PoseRecord], skeleton: Skeleton) -> ValidationMetric:
    """Make the validation metric of records."""
    make = instantiate(cfg.model.metric)
    metric: ValidationMetric = make(records, skeleton, object_areas(cfg, records), instantiate(cfg.metric))
    return metric


def build_task(cfg: DictConfig, net: PoseNet, datamodule: PoseDataModule) -> PoseTask:
    """Make the task that trains the network on the data.

    Raises:
        InputError: the head learns depth, and the data have none.
    """
    records = (*datamodule.train_records, *datamodule.val_records)
    if net.head.dimensions == 3 and (flat := [record.source for record in records if record.points is None]):
        raise InputError(f"{flat[0]}: has no third dimension, which this head learns; data=synthetic has")
    return PoseTask(
        net=net,
        skeleton=datamodule.skeleton,
        metric=build_metric(cfg, datamodule.val_records, datamodule.skeleton),
        optimizer=instantiate(cfg.optimizer),
        schedule=instantiate(cfg.schedule),
        flip_test=cfg.flip_test and datamodule.skeleton.mirrorable,
        occluded_weight=cfg.data.occluded_weight,
        seed=cfg.seed,
        metadata=checkpoint_metadata(cfg, datamodule.skeleton),
    )


def checkpoint_metadata(cfg: DictConfig, skeleton: Skeleton) -> dict[str, Any]:
    """Return what a checkpoint must carry to be loaded by itself."""
    wanted = OmegaConf.masked_copy(cfg, ["name", "model", "head", "flip_test", "channels_last"])
    wanted.flip_test = cfg.flip_test and skeleton.mirrorable
    return {"config": OmegaConf.to_container(wanted, resolve=False), "skeleton": skeleton.to_dict()}


def check_half_body(augmentation: Augmentation, skeleton: Skeleton) -> None:
    """Say that half-body augmentation cannot act where the skeleton has no halves."""
    has_halves = skeleton.upper and skeleton.lower
    if not has_halves and any(isinstance(transform, HalfBody) for transform in augmentation.geometry):
        log.warning(
            "half-body augmentation cannot act: nobody says which keypoints are the front and the rear half. Name them "
            "with data.upper=[...] data.lower=[...], or do without by aug/half_body=none"
        )


def require_whole_photographs(net: PoseNet, datamodule: PoseDataModule) -> None:
    """Refuse what a network that finds the animals by itself cannot be taught with.

    Raises:
        InputError: of a photograph on one side, animals are left out or on another side, as if they were background;
            or the augmentation takes half of a body, which a photograph of several animals does not have.
    """
    if not net.finds_animals:
        return
    if any(isinstance(transform, HalfBody) for transform in datamodule.augmentation.geometry):
        raise InputError(
            "aug/half_body: this network sees whole photographs, which have no halves; add aug/half_body=none"
        )
    for side in (datamodule.train_records, datamodule.val_records, datamodule.test_records):
        known, paths = {record.id for record in side}, {record.image_path for record in side}
        for record in datamodule.annotations.records:
            if record.image_path in paths and record.id not in known:
                raise InputError(
                    f"{record.source}: others of its photograph take part in this run and it does not, so it would be "
                    "taught as background; do without data.train_animals and data.*_species, and split by photographs"
                )


def freeze_unused(net: PoseNet, input_size: tuple[int, int], num_keypoints: int) -> list[str]:
    """Freeze the parameters that the loss does not depend on, and return their names.

    HRNet, for one, computes coarse maps that no head reads. They never learn, and several processes that train
    together would wait for their gradients.

    Args:
        net: backbone and head; its weights and statistics stay as they are.
        input_size: (width, height) of the crop.
        num_keypoints: K.
    """
    width, height = input_size
    training = net.training
    net.eval()
    try:
        loss = net.example_loss(width, height, num_keypoints)
    except (AssertionError, RuntimeError) as error:
        raise InputError(
            f"model.input_size=[{width},{height}]: the network takes no such crops ({str(error).splitlines()[0]}). "
            "Choose another; with model=vit, vision transformers take any that their patches divide"
        ) from error
    loss.backward()
    unused = [name for name, parameter in net.named_parameters() if parameter.grad is None]
    for name in unused:
        net.get_parameter(name).requires_grad_(False)
    net.zero_grad(set_to_none=True)
    net.train(training)
    return unused
