"""What goes wrong on W&B's side does not reach training."""

import logging
import os
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import wandb

from lynx_pose.training.wandb_run import FaultTolerantWandbLogger


@pytest.fixture(autouse=True)
def _no_traces():
    """W&B leaves WANDB_SERVICE and its settings behind, Lightning WANDB_MODE, which later tests would inherit."""
    wandb.teardown()
    with patch.dict(os.environ):
        yield
        wandb.teardown()


def test_a_logger_that_cannot_write_says_so_once_and_is_silent(tmp_path, caplog):
    settings = wandb.Settings(silent=True)
    logger = FaultTolerantWandbLogger(name="run", save_dir=str(tmp_path), offline=True, settings=settings)
    logger.log_metrics({"val/AP": 0.5}, 1)
    media = Path(logger.experiment.dir) / "media"
    shutil.rmtree(media, ignore_errors=True)
    media.write_text("no folder")
    with caplog.at_level(logging.WARNING):
        for step in (2, 3):
            logger.log_image("val/poses", [np.zeros((8, 8, 3), np.uint8)], step)
            logger.log_metrics({"val/AP": 0.6}, step)
    said = [record.message for record in caplog.records if "without Weights & Biases" in record.message]
    assert len(said) == 1
    assert logger.broken
    logger.experiment.finish()
