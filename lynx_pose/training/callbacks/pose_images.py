"""Logs validation crops with predicted poses to Weights & Biases."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger

from lynx_pose.data.dataset import PoseBatch
from lynx_pose.training.task import PoseTask
from lynx_pose.visualization.draw import draw_pose


class PoseImages(pl.Callback):
    """Draw the first crops of the first validation batch: the annotation on the left, the prediction on the right.

    Args:
        every_n_epochs: how often; 0 never.
        count: how many crops.
        min_confidence: from which a keypoint is drawn.
    """

    def __init__(self, every_n_epochs: int, count: int, min_confidence: float = 0.2):
        self.every_n_epochs = every_n_epochs
        self.count = count
        self.min_confidence = min_confidence

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: PoseBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log the crops of this epoch, if it is one of those."""
        due = self.every_n_epochs and trainer.current_epoch % self.every_n_epochs == 0
        if batch_idx or not due or not isinstance(trainer.logger, WandbLogger):
            return
        assert isinstance(pl_module, PoseTask)
        crops = batch.image[: self.count]
        with torch.no_grad():
            keypoints, scores = pl_module.net.predict(crops)
        truth, found = (points[: self.count, :, :2].float().cpu().numpy() for points in (batch.keypoints, keypoints))
        seen, sure = batch.visible[: self.count].cpu().numpy(), scores.float().cpu().numpy() > self.min_confidence
        skeleton = pl_module.skeleton
        drawn = [
            np.hstack([draw_pose(crop, truth[n], seen[n], skeleton), draw_pose(crop, found[n], sure[n], skeleton)])
            for n, crop in enumerate(crops.cpu().numpy())
        ]
        trainer.logger.log_image("val/poses", drawn)
