"""A finished run on its validation set: its checkpoint, or any network, and the metrics."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lynx_pose.arrays import Pixels
from lynx_pose.config import instantiate
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.data.split import STRATEGIES, connected_groups
from lynx_pose.distributed.supervisor import LocalEnvironment, SpawnedWorkers, num_local_processes
from lynx_pose.errors import InputError
from lynx_pose.evaluation.detailed_metrics import DetailedMetrics
from lynx_pose.files import read_json, write_json
from lynx_pose.models.pose_net import build_net
from lynx_pose.models.weights import network_state, read_checkpoint, require_skeleton
from lynx_pose.prediction.estimator import CropNetwork
from lynx_pose.training.build import build_datamodule, build_metric, build_task, read_annotations
from lynx_pose.training.run_folder import RunFolder
from lynx_pose.training.task import PoseTask, to_image_pixels
from lynx_pose.training.trainer import make_trainer

log = logging.getLogger(__name__)
# Whatever the run was trained on, its validation set is small enough for one process.
ONE_PROCESS = ("trainer.devices=1", "trainer.num_nodes=1", "trainer.strategy=auto")


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Evaluate a run's checkpoint as configured in `conf/evaluate.yaml`, and return the metrics.

    It writes evaluation.json and predictions.json into Hydra's output folder.

    Raises:
        InputError: the run, its checkpoint or its data cannot be used.
    """
    folder, output = RunFolder(Path(cfg.run).expanduser()), Path(HydraConfig.get().runtime.output_dir)
    detail: DetailedMetrics = instantiate(cfg.detail)
    run_cfg = run_config(folder.path, list(cfg.overrides), cfg.trust)
    paths = {"best": folder.best, "last": folder.last}
    if cfg.checkpoint not in paths:
        raise InputError(f"checkpoint={cfg.checkpoint}: must be one of {', '.join(paths)}")
    if cfg.side not in ("val", "test"):
        raise InputError(f"side={cfg.side}: must be val or test")
    task, datamodule = validate_run(run_cfg, folder, paths[cfg.checkpoint], output, cfg.side)
    poses = task.metric.poses
    assert poses is not None, "validation has computed them"
    content = {
        "run": str(cfg.run),
        "checkpoint": cfg.checkpoint,
        "side": cfg.side,
        "object_scale": run_cfg.object_scale._target_.rsplit(".", 1)[-1],
        "metrics": task.val_metrics,
        "detail": detail(
            poses, datamodule.skeleton, datamodule.annotations.records, clusters_of(run_cfg, poses.records)
        ),
    }
    write_json(output / "evaluation.json", content)
    write_json(output / "predictions.json", task.metric.results())
    log.info("%s, %s checkpoint, %d animals, side %s", run_cfg.name, cfg.checkpoint, len(poses.records), cfg.side)
    for name, value in task.val_metrics.items():
        log.info("  %-16s %.4f", name, value)
    log_detail(content["detail"])
    if cfg.side == "test":
        note_test(folder, cfg.checkpoint, task.val_metrics, content["detail"])
    log.info("%s", output / "evaluation.json")
    return task.val_metrics


def clusters_of(cfg: DictConfig, records: Sequence[PoseRecord]) -> list[str] | None:
    """Return [N] what belongs together by the run's split, such as individuals or bursts; None where only images do."""
    fields = STRATEGIES.get(cfg.data.split, STRATEGIES["random"])
    known = [field for field in fields if any(getattr(record, field) for record in records)]
    groups = connected_groups(records, known)
    return groups if len(set(groups)) < len({record.image_path for record in records}) else None


def log_detail(detail: dict[str, Any]) -> None:
    """Say where the network does worst, and what the choice of the animal's size makes of AP."""
    for field, found in detail["by_group"].items():
        worst = found["groups"][found["worst"]]
        low, high = worst["AP"]["low"], worst["AP"]["high"]
        interval = "no interval" if low is None else f"95 % interval {low:.4f} to {high:.4f}"
        log.info(
            "  worst %s: %s, AP %.4f (%s, %d animals)",
            *(field, found["worst"], worst["AP"]["value"], interval, worst["animals"]),
        )
    scales = detail["AP_by_object_scale"].items()
    log.info("  AP by the animal's size: %s", ", ".join(f"{name} {value:.4f}" for name, value in scales))
    if not detail["ranked"]:
        log.info("  The scores of this head rank nothing: AP is the mean over random orders; AR and AP_eq18 need none.")


def note_test(folder: RunFolder, checkpoint: str, metrics: dict[str, float], detail: dict[str, Any]) -> None:
    """Keep in the run's folder what its test side gave at the first look, and count the looks."""
    earlier = read_json(folder.test) if folder.test.is_file() else {}
    looks = int(earlier.get("looks", 0)) + 1
    if looks > 1:
        log.warning(
            "the test side has been looked at %d times: who chooses by it has no test side any more. The figures of "
            "the first look are kept in %s",
            *(looks, folder.test),
        )
    first = {"checkpoint": checkpoint, "metrics": metrics, "all": detail["all"]} if looks == 1 else earlier
    write_json(folder.test, first | {"looks": looks})


def run_config(run: Path, overrides: Sequence[str], trust: bool = False) -> DictConfig:
    """Return a run's configuration for one process, with changes as `key=value`.

    Raises:
        InputError: there is no such run, it is not to be trusted, or a change has a key that it has not.
    """
    cfg = RunFolder(run).read_config(trust)
    for override in [*ONE_PROCESS, *overrides]:
        key, separator, value = override.partition("=")
        if not separator or OmegaConf.select(cfg, key, default=...) is ...:
            raise InputError(f"overrides: '{override}' is not key=value with a key of the run's configuration")
        OmegaConf.update(cfg, key, OmegaConf.from_dotlist([f"x={value}"]).x)
    return cfg


def validate_run(
    cfg: DictConfig, folder: RunFolder, checkpoint: Path, output: Path, side: str = "val"
) -> tuple[PoseTask, PoseDataModule]:
    """Compute a checkpoint's poses and metrics in as many processes as `cfg` says; others log into `output`."""
    environment = LocalEnvironment()
    arguments = (cfg, folder, checkpoint, side)
    with SpawnedWorkers(
        num_local_processes(cfg.trainer), environment.port, validate_rank, arguments, RunFolder(output)
    ):
        return validate_rank(environment, *arguments)


def validate_rank(
    environment: LocalEnvironment, cfg: DictConfig, folder: RunFolder, checkpoint: Path, side: str
) -> tuple[PoseTask, PoseDataModule]:
    """Compute a checkpoint's poses and metrics, as one of the processes that do so."""
    annotations = read_annotations(cfg)
    content = read_checkpoint(checkpoint)
    require_skeleton(content, annotations.skeleton, checkpoint)
    net = build_net(cfg, len(annotations.skeleton))
    datamodule = build_datamodule(cfg, annotations, net.head.crop_convention, read_json(folder.split))
    if side == "test":
        datamodule.validate_on_test()
    try:
        net.load_state_dict(network_state(content, checkpoint))
    except RuntimeError as error:
        raise InputError(f"{checkpoint}: does not fit the run's network ({str(error).splitlines()[1]})") from None
    task = build_task(cfg, net, datamodule)
    trainer = make_trainer(cfg, environment, logger=False, enable_checkpointing=False)
    trainer.validate(task, datamodule=datamodule, verbose=False)
    return task, datamodule


def validate_network(network: CropNetwork, cfg: DictConfig, folder: RunFolder) -> dict[str, float]:
    """Return AP and the other metrics of any network on the validation set of a run.

    Args:
        network: such as an ONNX file's.
        cfg: configuration of the run, whose data are at hand, as `run_config` reads it.
        folder: of the run.
    """
    datamodule = _validation_data(network, cfg, folder)
    metric = build_metric(cfg, datamodule.val_records, datamodule.skeleton)
    for batch in datamodule.val_dataloader():
        keypoints, confidences = map(torch.from_numpy, network(batch.image.numpy()))
        metric.update(batch.record_index, to_image_pixels(keypoints, batch.matrix), confidences)
    metrics: dict[str, float] = metric.compute()
    return metrics


def validation_crops(network: CropNetwork, cfg: DictConfig, folder: RunFolder, count: int) -> Pixels:
    """Return up to `count` crops [N, H, W, 3] of the validation set of a run, as `validate_network`."""
    datamodule = _validation_data(network, cfg, folder)
    crops: list[Pixels] = []
    for batch in datamodule.val_dataloader():
        crops += list(batch.image.numpy())
        if len(crops) >= count:
            break
    return np.stack(crops[:count])


def _validation_data(network: CropNetwork, cfg: DictConfig, folder: RunFolder) -> PoseDataModule:
    return build_datamodule(cfg, read_annotations(cfg), network.crop_convention, read_json(folder.split))
