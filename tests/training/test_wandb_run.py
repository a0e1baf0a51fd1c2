"""What goes wrong on W&B's side does not reach training."""

import logging
import os
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import wandb
import yaml
from commandline import QUICK, run, summary
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

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


@pytest.mark.slow
def test_a_run_of_an_agent_is_the_agents(data, tmp_path):
    """The command is made of the file by W&B's own function; the environment is that which its agent gives a run."""
    search = yaml.safe_load((Path(__file__).parents[2] / "docs" / "wandb_sweep.yaml").read_text())
    drawn = {"model": "tiny", "aug": "flip", "optimizer.lr": 0.00123}
    assert set(drawn) == set(search["parameters"])
    made = create_sweep_command_args({"args": {name: {"value": value} for name, value in drawn.items()}})
    command = search["command"]
    assert command[:4] == ["${env}", "${interpreter}", "-m", "${program}"]
    assert search["program"] == "lynx_pose.train"
    place = command.index("${args_no_hyphens}")
    # Another dataset, and no server.
    options = [one for one in command[4:place] if not one.startswith(("data", "logger."))]
    given = [*options, *made["args_no_hyphens"], "data=lynx", f"data.root={data}", *QUICK, "trainer.max_epochs=1"]
    agent = {"WANDB_RUN_ID": "agents1", "WANDB_SWEEP_ID": "search1", "WANDB_MODE": "offline"}
    run("train", *given, "logger=wandb", "hydra.run.dir=run", cwd=tmp_path, **agent)
    assert summary(tmp_path / "run")["wandb"] == "agents1"
    written = list((tmp_path / "run" / "wandb").glob("offline-run-*-agents1/run-agents1.wandb"))
    assert len(written) == 1
    assert b"search1" in written[0].read_bytes()
