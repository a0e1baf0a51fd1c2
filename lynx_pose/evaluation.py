"""A checkpoint's figures on the validation set of its run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from lynx_pose.building import build_datamodule, build_task, read_annotations
from lynx_pose.data.datamodule import PoseDataModule
from lynx_pose.errors import InputError
from lynx_pose.instantiation import make
from lynx_pose.metrics.detailed import DetailedFigures
from lynx_pose.models.build import build_net
from lynx_pose.models.weights import network_state, read_checkpoint, require_skeleton
from lynx_pose.processes import Followers, OwnEnvironment, local_processes
from lynx_pose.run_folder import RunFolder, read_json_file, write_json
from lynx_pose.silence import silence_lightning
from lynx_pose.task import PoseTask

log = logging.getLogger(__name__)
silence_lightning()
# Whatever the run was trained on, its validation set is small enough for one process.
ONE_PROCESS = ("trainer.devices=1", "trainer.num_nodes=1", "trainer.strategy=auto")


def evaluate(
    run: Path, checkpoint: str, overrides: Sequence[str], detail: DetailedFigures, output: Path
) -> dict[str, float]:
    """Evaluate a run's checkpoint and return the figures.

    Args:
        run: folder of the run.
        checkpoint: `best` or `last`.
        overrides: changes to the run's configuration, as `key=value`.
        detail: computes what is written beside them.
        output: folder for evaluation.json and predictions.json.

    Raises:
        InputError: the run, its checkpoint or its data cannot be used.
    """
    folder, cfg = RunFolder(run), run_config(run, overrides)
    paths = {"best": folder.best, "last": folder.last}
    if checkpoint not in paths:
        raise InputError(f"checkpoint={checkpoint}: must be one of {', '.join(paths)}")
    task, datamodule = validated(cfg, folder, paths[checkpoint], output)
    poses = task.evaluation.poses
    assert poses is not None, "validation has computed them"
    content = {
        "run": str(run),
        "checkpoint": checkpoint,
        "object_scale": cfg.object_scale._target_.rsplit(".", 1)[-1] if "object_scale" in cfg else "annotated_area",
        "figures": task.figures,
        "detail": detail(poses, datamodule.skeleton, datamodule.annotations.records),
    }
    write_json(output / "evaluation.json", content)
    write_json(output / "predictions.json", task.evaluation.results())
    log.info("%s, %s checkpoint, %d animals", cfg.name, checkpoint, len(datamodule.val_records))
    for name, value in task.figures.items():
        log.info("  %-16s %.4f", name, value)
    log.info("%s", output / "evaluation.json")
    return task.figures


def run_config(run: Path, overrides: Sequence[str]) -> DictConfig:
    """Return a run's configuration for one process, with changes as `key=value`.

    Raises:
        InputError: there is no such run, or a change has a key that it has not.
    """
    return _changed(RunFolder(run).read_config(), [*ONE_PROCESS, *overrides])


def validated(cfg: DictConfig, folder: RunFolder, checkpoint: Path, output: Path) -> tuple[PoseTask, PoseDataModule]:
    """Compute a checkpoint's poses and figures in as many processes as `cfg` says; others log into `output`."""
    environment = OwnEnvironment()
    arguments = (cfg, folder, checkpoint)
    with Followers(local_processes(cfg.trainer), environment.port, validate, arguments, RunFolder(output)):
        return validate(environment, *arguments)


def validate(
    environment: OwnEnvironment, cfg: DictConfig, folder: RunFolder, checkpoint: Path
) -> tuple[PoseTask, PoseDataModule]:
    """Compute a checkpoint's poses and figures, as one of the processes that do so."""
    annotations = read_annotations(cfg)
    require_skeleton(read_checkpoint(checkpoint), annotations.skeleton, checkpoint)
    net = build_net(cfg, len(annotations.skeleton))
    datamodule = build_datamodule(cfg, annotations, net.pose_head.warp_matrix, kept_split=read_json_file(folder.split))
    try:
        net.load_state_dict(network_state(checkpoint))
    except RuntimeError as error:
        raise InputError(f"{checkpoint}: does not fit the run's network ({str(error).splitlines()[1]})") from None
    task = build_task(cfg, net, datamodule)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "use_distributed_sampler": False}
    trainer: pl.Trainer = make(cfg.trainer, plugins=[environment], **quiet)
    trainer.validate(task, datamodule=datamodule, verbose=False)
    return task, datamodule


def _changed(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Apply `key=value` changes; a key that the run does not have is an error."""
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or OmegaConf.select(cfg, key, default=...) is ...:
            raise InputError(f"overrides: '{override}' is not key=value with a key of the run's configuration")
        OmegaConf.update(cfg, key, OmegaConf.from_dotlist([f"x={value}"]).x)
    return cfg
