"""A whole training run of MMPose 1.3.2: ResNet-18 with three deconvolutions, from random weights, on COCO files.

    python mmpose_training.py <folder> <images> <side> <epochs> <batch> <seed>

The folder holds train.json and val.json. After each epoch's validation it prints the epoch, the seconds of training and
validation so far, and AP.
"""

import sys
import time
from pathlib import Path
from typing import Any

import mmpose.datasets
import mmpose.engine
import mmpose.evaluation  # noqa: F401  # registers the metric
import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpose.datasets.transforms import RandomBBoxTransform
from mmpose.registry import TRANSFORMS
from mmpose_networks import METAINFO, config_of


@TRANSFORMS.register_module()
class RandomBBoxTransform0(RandomBBoxTransform):
    """Shift, scale and turn as MMPose 0.29 and as we do; 1.3 draws truncated normals, which are milder."""

    def _get_transform_params(self, num_bboxes: int) -> tuple[Any, Any, Any]:
        shifted, turned = np.random.rand(2, num_bboxes) < [[self.shift_prob], [self.rotate_prob]]
        shift = np.random.uniform(-self.shift_factor, self.shift_factor, (num_bboxes, 2)) * shifted[:, None]
        scale = np.clip(1 + 0.5 * np.random.randn(num_bboxes, 1), *self.scale_factor)
        sigma = self.rotate_factor / 2
        angle = np.clip(sigma * np.random.randn(num_bboxes), -self.rotate_factor, self.rotate_factor)
        return shift, scale, angle * turned


class Clock(Hook):
    """Prints AP and the time that it took; starting up does not count."""

    def before_train(self, runner: Runner) -> None:
        """Start."""
        self.start = time.perf_counter()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Say what an epoch has brought."""
        seconds = time.perf_counter() - self.start
        print(f"EPOCH {runner.epoch} {seconds:.1f} {(metrics or {})['coco/AP']}", flush=True)


def runner_of(folder: Path, images: str, side: int, epochs: int, batch: int, seed: int) -> Runner:
    """Return MMPose's runner, configured as its published ResNet-50 but for size, depth, batch and length."""
    config = config_of("r50")
    # As MMPose has it: two cells of deviation for maps of 64 cells, whatever the side.
    codec = {"type": "MSRAHeatmap", "input_size": (side, side), "heatmap_size": (side // 4, side // 4), "sigma": 2}
    config.model.backbone.depth = 18
    config.model.head.in_channels = 512
    config.model.head.decoder = codec
    config.train_cfg = {"by_epoch": True, "max_epochs": epochs, "val_interval": max(1, epochs // 5)}
    config.val_cfg, config.test_cfg = {}, None
    config.test_dataloader = config.test_evaluator = None
    config.param_scheduler[0].end = max(1, epochs // 10)
    config.param_scheduler[0].by_epoch = True
    config.param_scheduler[0].convert_to_iter_based = True
    config.param_scheduler[1].end = epochs
    config.param_scheduler[1].milestones = milestones(epochs)
    # As the thesis's decay, and ours; MMPose's own is 0.1.
    config.param_scheduler[1].gamma = 0.3
    for name in ("train", "val"):
        loader = config[f"{name}_dataloader"]
        loader.batch_size = batch
        dataset: dict[str, Any] = {
            "data_root": "",
            "ann_file": str(folder / f"{name}.json"),
            "data_prefix": {"img": images},
            "metainfo": {"from_file": str(METAINFO)},
        }
        loader.dataset.update(dataset)
        for step in loader.dataset.pipeline:
            if step.type == "RandomBBoxTransform":
                step.type = "RandomBBoxTransform0"
            if step.type == "TopdownAffine":
                step.input_size = codec["input_size"]
            if step.type == "GenerateTarget":
                step.encoder = codec
    config.val_evaluator.ann_file = str(folder / "val.json")
    config.work_dir = str(folder / f"mmpose-{seed}")
    config.randomness = {"seed": seed}
    config.visualizer = None
    del config.default_hooks["visualization"]
    config.default_hooks.checkpoint = {"type": "CheckpointHook", "interval": epochs}
    config.log_level = "ERROR"
    runner = Runner.from_cfg(config)
    runner.register_hook(Clock())
    return runner


def milestones(epochs: int) -> list[int]:
    """Return the epochs after which the rate falls, in MMPose's proportions."""
    return [round(epochs * 170 / 210), round(epochs * 200 / 210)]


def main() -> None:
    """Train."""
    folder, images, *numbers = sys.argv[1:]
    torch.set_num_threads(max(1, torch.get_num_threads()))
    runner_of(Path(folder), images, *map(int, numbers)).train()


if __name__ == "__main__":
    main()
