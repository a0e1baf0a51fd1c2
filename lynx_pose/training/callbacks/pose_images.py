"""Logs validation crops with predicted poses to Weights & Biases."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import WandbLogger

from lynx_pose.arrays import Floats, Mask, Pixels
from lynx_pose.data.dataset import PoseBatch
from lynx_pose.data.skeleton import Skeleton
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
        truth, found = (points[: self.count].float().cpu().numpy() for points in (batch.keypoints, keypoints))
        seen, sure = batch.visible[: self.count].cpu().numpy(), scores.float().cpu().numpy() > self.min_confidence
        drawn = [
            np.hstack(
                [_drawn(crop, *poses, pl_module.skeleton) for poses in ((truth[n], seen[n]), (found[n], sure[n]))]
            )
            for n, crop in enumerate(crops.cpu().numpy())
        ]
        trainer.logger.log_image("val/poses", drawn)


def _drawn(image: Pixels, keypoints: Floats, shown: Mask, skeleton: Skeleton) -> Pixels:
    """Draw the pose [K, D] of a crop, or the poses [A, K, 2] of a photograph's animals."""
    count = len(skeleton)
    for points, known in zip(keypoints[..., :2].reshape(-1, count, 2), shown.reshape(-1, count), strict=True):
        image = draw_pose(image, points, known, skeleton)
    return image
