"""Training the lifting network on poses that are made as it goes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Generator, Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from lynx_pose.lifting.lifting_losses import joint_error, lifting_losses, reprojection_error
from lynx_pose.lifting.lifting_net import LiftingNet
from lynx_pose.lifting.pose_generator import GeneratedPoses, PoseGenerator
from lynx_pose.lifting.skeleton3d import NODES

# Steps of training count from 0; the validation poses are none of theirs.
VALIDATION = -1


class LiftingTask(pl.LightningModule):
    """Train and validate a lifting network.

    Args:
        net: the network.
        poses: makes the poses; what a step trains on depends on seed and step alone.
        optimizer: makes the optimiser from the parameters.
        schedule: makes the step-wise schedule from optimiser and steps_per_epoch.
        missing: share of the points that are hidden from the network in training.
        batch_size: poses a step.
        steps_per_epoch: steps between validations.
        val_poses: poses to validate on, the same after each epoch; none of their points is hidden.
        seed: of the poses.
        metadata: plain values that each checkpoint carries, so that it can be loaded by itself.
    """

    def __init__(
        self,
        net: LiftingNet,
        poses: PoseGenerator,
        optimizer: Callable[..., Optimizer],
        schedule: Callable[..., LRScheduler],
        missing: float,
        batch_size: int,
        steps_per_epoch: int,
        val_poses: int,
        seed: int,
        metadata: dict[str, Any],
    ):
        super().__init__()
        self.net = net
        self.poses = poses
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.missing = missing
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.val_poses = val_poses
        self.seed = seed
        self.metadata = metadata
        # One row an epoch.
        self.rows: list[dict[str, float]] = []

    def draw(self, count: int, step: int) -> tuple[GeneratedPoses, Tensor]:
        """Return the poses of a step and which of their points [n, 16] are seen."""
        # Mixed to 32 bits, of which torch's generator takes no more.
        mixed = np.random.SeedSequence([self.seed, step + 1]).generate_state(1)
        generator = Generator().manual_seed(int(mixed[0]))
        poses = self.poses(count, generator)
        missing = 0 if step == VALIDATION else self.missing
        seen = torch.rand(count, len(NODES), generator=generator) >= missing
        return GeneratedPoses(*(part.to(self.device) for part in poses)), seen.to(self.device)

    def train_dataloader(self) -> DataLoader[int]:
        """Return the numbers of an epoch's steps."""
        return DataLoader(range(self.steps_per_epoch))  # type: ignore[arg-type]  # a range is a sequence

    def val_dataloader(self) -> DataLoader[int]:
        """Return one step of validation."""
        return DataLoader(range(1))  # type: ignore[arg-type]  # a range is a sequence

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the loss of poses that no other step has."""
        poses, seen = self.draw(self.batch_size, self.global_step)
        losses = lifting_losses(self.net(poses.points, seen), poses)
        return torch.stack(list(losses.values())).sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Add the row of an epoch."""
        poses, seen = self.draw(self.val_poses, VALIDATION)
        lifted = self.net(poses.points, seen)
        measured = lifting_losses(lifted, poses) | {
            "MPJPE": joint_error(lifted, poses),
            "reprojection": reprojection_error(lifted.positions, poses.points, seen).mean(),
        }
        done = {"epoch": self.current_epoch, "poses": self.global_step * self.batch_size}
        self.rows.append(done | {name: float(value) for name, value in measured.items()})
        self.log_dict(measured, batch_size=1, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimiser and its schedule."""
        optimizer = self.make_optimizer(self.net.parameters())
        schedule = self.make_schedule(optimizer, steps_per_epoch=self.steps_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the metadata and the rows so far."""
        checkpoint["lynx_pose_lifting"] = self.metadata
        checkpoint["rows"] = self.rows

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the rows of a run that is continued."""
        self.rows = checkpoint["rows"]
