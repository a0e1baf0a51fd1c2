"""What validation costs beside its forward passes: loading, decoding, losses, COCO figures, Lightning.

ResNet-50 with the flip test, two forward passes a crop, on drawn images, after each of a few training epochs.
"""

import statistics
import time
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from measure import Figure, arguments, report

from lynx_pose.config import CONF, instantiate
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import build_datamodule, build_task, read_annotations
from lynx_pose.training.task import PoseTask

OVERRIDES = ["model=r50", "aug=none", "data.images=160", "data.split=shared", "trainer.precision=bf16-mixed"]


class Stopwatch(pl.Callback):
    """Times each validation, and the forward passes in it."""

    def __init__(self) -> None:
        self.validations: list[float] = []
        self.passes: list[float] = []

    def setup(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        """Listen to the network."""
        assert isinstance(module, PoseTask)
        module.net.register_forward_pre_hook(self._before)
        module.net.register_forward_hook(self._after)

    def _before(self, *_: Any) -> None:
        self.pass_started = self._now()

    def _after(self, *_: Any) -> None:
        self.in_passes += self._now() - self.pass_started

    def _now(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start."""
        self.started, self.in_passes = self._now(), 0.0

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop."""
        self.validations.append(self._now() - self.started)
        self.passes.append(self.in_passes)


def main() -> None:
    """Measure and report."""
    options = arguments(__doc__).parse_args()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=OVERRIDES)
    annotations = read_annotations(cfg)
    net = build_net(cfg, len(annotations.skeleton))
    datamodule = build_datamodule(cfg, annotations, net.head.crop_convention)
    task = build_task(cfg, net, datamodule)
    watch = Stopwatch()
    cfg.trainer.update({"enable_progress_bar": False, "max_epochs": options.rounds + 1, "limit_train_batches": 1})
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    trainer = instantiate(cfg.trainer, callbacks=[watch], use_distributed_sampler=False, **quiet)
    trainer.fit(task, datamodule=datamodule)
    # The first one starts the loading processes.
    ours, passes = (statistics.median(times[1:]) for times in (watch.validations, watch.passes))
    figure = Figure(f"{len(datamodule.val_records)} animals", ours, "s", limit=passes, limit_name="its forward passes")
    report("validation epoch", [figure])


if __name__ == "__main__":
    main()
