"""What a configuration adds to a run: an average of weights, an early end, a backbone that waits, loggers."""

import json

import pytest
import pytorch_lightning as pl
import torch
from commandline import QUICK, assert_same_result, rows, run, summary
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.errors import InputError
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import build_datamodule, build_task, read_annotations
from lynx_pose.training.callbacks.frozen_backbone import FrozenBackbone
from lynx_pose.training.early_end import early_end

SMALL = [*QUICK, "model.input_size=[64,64]", "logger=none"]


@pytest.mark.slow
def test_the_average_of_weights_is_what_validates_and_is_kept(data, tmp_path):
    """And a run that goes on with it equals one that was not interrupted."""
    options = ["data=lynx", f"data.root={data}", *SMALL, "+callback=weight_averaging"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run("train", *options, "trainer.max_epochs=4", f"hydra.run.dir={whole}", cwd=tmp_path)
    run("train", *options, "trainer.max_epochs=2", f"hydra.run.dir={parts}", cwd=tmp_path)
    run("train", *options, "trainer.max_epochs=4", f"ckpt={parts}/checkpoints/last.ckpt", cwd=tmp_path)
    assert_same_result(parts, whole)
    run("evaluate", str(whole), "hydra.run.dir=evaluated", cwd=tmp_path)
    figures = json.loads((tmp_path / "evaluated" / "evaluation.json").read_text())["metrics"]
    assert figures == {name: summary(whole)["best"][name] for name in figures}
    last = torch.load(whole / "checkpoints" / "last.ckpt", weights_only=True)
    names = [name for name, value in last["state_dict"].items() if value.is_floating_point()]
    assert any(not torch.equal(last["state_dict"][name], last["current_model_state"][name]) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "epochs", "reason"),
    [("stop.patience=2", 3, "val/AP got no better in 2 validations"), ("stop.after=1e-7", 1, "its time was over")],
)
def test_a_run_ends_early_and_says_why(data, tmp_path, option, epochs, reason):
    """With a rate of 0 nothing gets better after the first epoch."""
    more = ["trainer.max_epochs=9", "optimizer.lr=0", "schedule.warmup_epochs=0"]
    more += ["+logger.more.csv._target_=pytorch_lightning.loggers.CSVLogger"]
    process = run("train", "data=lynx", f"data.root={data}", *SMALL, *more, option, "hydra.run.dir=run", cwd=tmp_path)
    told = summary(tmp_path / "run")
    assert (told["status"], told["epochs"], len(rows(tmp_path / "run"))) == ("completed", epochs, epochs)
    assert reason in told["ended_early"]
    assert reason in process.stderr
    assert told["commit"] is None or len(told["commit"]["id"]) == 40
    assert list((tmp_path / "run").rglob("lightning_logs/*/metrics.csv"))


def test_the_last_epoch_is_validated_whatever_comes_between(data, tmp_path):
    options = ["trainer.max_epochs=5", "trainer.check_val_every_n_epoch=2", "hydra.run.dir=run"]
    run("train", "data=lynx", f"data.root={data}", *SMALL, *options, cwd=tmp_path)
    assert [bool(row["val/AP"]) for row in rows(tmp_path / "run")] == [False, True, False, True, True]


def _cfg(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", overrides=["model=tiny", "model.input_size=[64,64]", "data.cache=none", *overrides])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["stop.patience=9", "trainer.max_epochs=9"], "stop.patience=9: .* less than the run's 9 validations"),
        (["stop.patience=3", "trainer.max_epochs=9", "trainer.check_val_every_n_epoch=3"], "the run's 3 validations"),
        (["stop.after=0"], "stop.after=0: must be a number of hours above 0"),
    ],
)
def test_an_end_that_cannot_come_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        early_end(_cfg(*options))


def test_a_frozen_backbone_waits_and_then_learns(small_lynx, tmp_path):
    cfg = _cfg("data=lynx", f"data.root={small_lynx}", "loader.num_workers=0", "loader.batch_size=3")
    annotations = read_annotations(cfg)
    torch.manual_seed(0)
    net = build_net(cfg, len(annotations.skeleton))
    data = build_datamodule(cfg, annotations, net.head.crop_convention)
    states = [{name: value.clone() for name, value in net.state_dict().items()}]

    class Keep(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            states.append({name: value.clone() for name, value in net.state_dict().items()})

    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "max_epochs": 3}
    trainer = pl.Trainer(**options, callbacks=[FrozenBackbone(2), Keep()], accelerator="cpu", default_root_dir=tmp_path)
    trainer.fit(build_task(cfg, net, data), datamodule=data)

    def changed(one, other):
        return {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}

    assert changed(states[0], states[1]) == changed(states[1], states[2]) == {"head"}
    assert changed(states[2], states[3]) == {"head", "backbone"}
    with pytest.raises(InputError, match=r"frozen_backbone.epochs=0"):
        FrozenBackbone(0)
