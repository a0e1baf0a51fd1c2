"""The LightningModule: one step, one optimiser, one metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lynx_pose.data.dataset import PoseBatch
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.metrics.pose_evaluation import PoseEvaluation
from lynx_pose.models.pose_net import PoseHead, PoseNet
from lynx_pose.models.weights import require_skeleton

CheckpointNote = dict[str, Any]


class PoseTask(pl.LightningModule):
    """Train and validate a network.

    Args:
        net: backbone and head.
        skeleton: of the data.
        evaluation: the validation metric.
        optimizer: makes the optimiser from parameters; None for evaluation alone.
        schedule: makes the step-wise schedule from optimiser and steps_per_epoch.
        flip_test: average each validation output with that of the mirrored crop.
        note: plain values that each checkpoint carries, so that it can be loaded by itself.
    """

    keypoint_weights: Tensor

    def __init__(
        self,
        net: PoseNet,
        skeleton: Skeleton,
        evaluation: PoseEvaluation,
        optimizer: Callable[..., Optimizer] | None = None,
        schedule: Callable[..., LRScheduler] | None = None,
        flip_test: bool = True,
        note: CheckpointNote | None = None,
    ):
        super().__init__()
        self.net = net
        self.skeleton = skeleton
        self.evaluation = evaluation
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.flip_test = flip_test
        self.note = note or {}
        self.figures: dict[str, float] = {}
        weights = torch.tensor(skeleton.weights or [1.0] * len(skeleton))
        self.register_buffer("keypoint_weights", weights, persistent=False)

    @property
    def head(self) -> PoseHead:
        """The network's head."""
        return self.net.pose_head

    def training_step(self, batch: PoseBatch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        loss = self.head.loss(self.net(batch.image), batch.keypoints, batch.visible * self.keypoint_weights)
        self.log("loss", loss.detach(), prog_bar=True, logger=False)
        self.log("train/loss", loss.detach(), on_step=False, on_epoch=True, batch_size=len(batch.image), sync_dist=True)
        return loss

    def validation_step(self, batch: PoseBatch, batch_idx: int) -> None:
        """Add one batch to the loss and to the metric."""
        output = self.net(batch.image)
        loss = self.head.loss(output, batch.keypoints, batch.visible * self.keypoint_weights)
        self.log("val/loss", loss, on_epoch=True, batch_size=len(batch.image), sync_dist=True)
        if self.flip_test:
            mirrored = self.net(batch.image.flip(2))
            output = self.head.average_flipped(output, mirrored, self.skeleton.flip_indices)
        keypoints, scores = self.head.decode(output)
        self.evaluation.update(batch.position, to_image_pixels(keypoints, batch.matrix), scores)

    def on_validation_epoch_end(self) -> None:
        """Compute and log the figures of the validation set, and keep them in `figures` in full precision."""
        try:
            self.figures = self.evaluation.compute()
        except ValueError as error:
            raise InputError(f"epoch {self.current_epoch}: {error}") from None
        self.log_dict({f"val/{name}": value for name, value in self.figures.items()})
        self.log("AP", self.figures["AP"], prog_bar=True, logger=False)
        self.evaluation.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimiser and its step-wise schedule."""
        assert self.make_optimizer is not None, "this task was made for evaluation"
        assert self.make_schedule is not None, "this task was made for evaluation"
        optimizer = self.make_optimizer(self.net.parameters())
        epochs = max(1, self.trainer.max_epochs or 1)
        steps = int(self.trainer.estimated_stepping_batches) // epochs
        schedule = self.make_schedule(optimizer, steps_per_epoch=max(1, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the note."""
        checkpoint["lynx_pose"] = self.note

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that was trained on other keypoints."""
        require_skeleton(checkpoint, self.skeleton, "the checkpoint")


def to_image_pixels(keypoints: Tensor, matrix: Tensor) -> Tensor:
    """Map keypoints [B, K, 2] from crop to image pixels, given the maps [B, 2, 3] from image to crop."""
    linear, offset = matrix[:, :, :2], matrix[:, :, 2]
    moved = keypoints.to(matrix.dtype) - offset[:, None]
    return torch.linalg.solve(linear[:, None], moved[..., None])[..., 0]
