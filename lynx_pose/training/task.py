"""The LightningModule: one step, one optimiser, one metric."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lynx_pose.data.dataset import PoseBatch
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.metrics.validation_metric import ValidationLoss, ValidationMetric
from lynx_pose.models.heads.base import Output
from lynx_pose.models.pose_net import PoseNet
from lynx_pose.models.weights import require_skeleton

# No loss of a network that learns comes near: those of heatmaps and coordinates begin below 100.
DIVERGED = 1e6


class PoseTask(pl.LightningModule):
    """Train and validate a network.

    Args:
        net: backbone and head.
        skeleton: of the data.
        metric: the validation metric.
        optimizer: makes the optimiser from named parameters; None for evaluation alone.
        schedule: makes the step-wise schedule from optimiser and steps_per_epoch.
        flip_test: average each validation output with that of the mirrored crop.
        occluded_weight: factor of the loss of keypoints that something hides.
        seed: of what the network draws in training, such as dropped features.
        metadata: plain values that each checkpoint carries, so that it can be loaded by itself.
    """

    keypoint_weights: Tensor

    def __init__(
        self,
        net: PoseNet,
        skeleton: Skeleton,
        metric: ValidationMetric,
        optimizer: Callable[..., Optimizer] | None = None,
        schedule: Callable[..., LRScheduler] | None = None,
        flip_test: bool = True,
        occluded_weight: float = 1.0,
        seed: int = 0,
        metadata: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.net = net
        self.skeleton = skeleton
        self.metric = metric
        self.val_loss = ValidationLoss()
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.occluded_weight = occluded_weight
        self.seed = seed
        self.flip_indices = skeleton.flip_indices if flip_test else None
        self.metadata = metadata or {}
        self.val_metrics: dict[str, float] = {}
        weights = torch.tensor(skeleton.weights or [1.0] * len(skeleton))
        self.register_buffer("keypoint_weights", weights, persistent=False)

    def on_train_epoch_start(self) -> None:
        """Forget the metrics of the epoch before: this one may not be validated."""
        self.val_metrics = {}

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        # So a run that is continued draws what it would have drawn.
        drawn = np.random.SeedSequence([self.seed, self.global_step, self.global_rank])
        torch.manual_seed(int(drawn.generate_state(1)[0]))
        loss = self._loss(self.net(batch.image), batch)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch.image), sync_dist=True)
        return loss

    def _loss(self, output: Output, batch: PoseBatch) -> Tensor:
        """Return the head's loss, in which a keypoint counts 0 where it is not annotated."""
        seen = torch.where(batch.occluded, self.occluded_weight, 1.0)
        return self.net.loss(output, batch, batch.visible * seen * self.keypoint_weights)

    def validation_step(self, batch: PoseBatch, batch_idx: int) -> None:
        """Add one batch to the loss and to the metric."""
        output = self.net(batch.image)
        loss = self._loss(output, batch)
        self.val_loss.update(batch.record_index, loss)
        keypoints, scores = self.net.predict(batch.image, self.flip_indices, output)
        self.metric.update(batch.record_index, to_image_pixels(keypoints, batch.matrix), scores)

    def on_validation_epoch_end(self) -> None:
        """Compute and log the metrics of the validation set, and keep them in `val_metrics` in full precision."""
        try:
            self.val_metrics = {"loss": self.val_loss.compute()} | self.metric.compute()
        except ValueError as error:
            raise InputError(f"epoch {self.current_epoch}: {error}") from None
        self.log_dict({f"val/{name}": value for name, value in self.val_metrics.items()})
        self.log("AP", self.val_metrics["AP"], prog_bar=True, logger=False)
        self.metric.reset()
        self.val_loss.reset()

    def on_train_epoch_end(self) -> None:
        """End a run that no longer learns, before a checkpoint of it takes the place of the last good one.

        Raises:
            InputError: the epoch's mean loss is no number, or one that no loss of a network that learns has.
        """
        loss = float(self.trainer.callback_metrics["train/loss"])
        if not abs(loss) < DIVERGED:
            raise InputError(
                f"epoch {self.current_epoch}: the training loss is {loss:g}, the network no longer learns. Lower "
                f"optimizer.lr={self.trainer.optimizers[0].defaults['lr']:g}, or bound the steps with "
                "trainer.gradient_clip_val=1"
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimiser and its step-wise schedule."""
        assert self.make_optimizer is not None, "this task was made for evaluation"
        assert self.make_schedule is not None, "this task was made for evaluation"
        optimizer = self.make_optimizer(self.net.named_parameters())
        epochs = max(1, self.trainer.max_epochs or 1)
        steps = int(self.trainer.estimated_stepping_batches) // epochs
        schedule = self.make_schedule(optimizer, steps_per_epoch=max(1, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the metadata."""
        checkpoint["lynx_pose"] = self.metadata

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that was trained on other keypoints."""
        require_skeleton(checkpoint, self.skeleton, "the checkpoint")


def to_image_pixels(keypoints: Tensor, matrix: Tensor) -> Tensor:
    """Map keypoints [B, ..., K, D] from crop to image pixels, given the maps [B, 2, 3] from image to crop.

    A third coordinate, which is depth, is scaled as the others are.
    """
    linear, offset = matrix[:, :, :2], matrix[:, :, 2]
    points = keypoints.flatten(1, -2)
    moved = points[..., :2].to(matrix.dtype) - offset[:, None]
    placed = torch.linalg.solve(linear[:, None], moved[..., None])[..., 0]
    pixel_sides = linear.det().abs().rsqrt()
    mapped = torch.cat([placed, points[..., 2:] * pixel_sides[:, None, None]], dim=-1)
    return mapped.unflatten(1, keypoints.shape[1:-1])
