"""What is recommended for a dataset, and that it can be trained with."""

from dataclasses import replace

import pytest
from commandline import run, summary
from omegaconf import OmegaConf

from lynx_pose.data.readers import lynx_pose_raw
from lynx_pose.training.recommendation import choose_augmentation, choose_length, choose_size, choose_split


@pytest.fixture
def annotations(small_lynx):
    return lynx_pose_raw.read(str(small_lynx))


def _cfg(**data):
    return OmegaConf.create({"data": {"split": "random"} | data})


def test_individuals_are_kept_apart_where_enough_have_names(annotations):
    few = annotations.records
    assert choose_split(_cfg(), few).value == "random"
    many = [replace(record, identity=f"lynx-{number}") for number, record in enumerate([*few, *few])]
    assert choose_split(_cfg(), many).value == "identity"
    own = [replace(record, subsets={"file": "val" if number else "train"}) for number, record in enumerate(many)]
    assert choose_split(_cfg(split="file"), own).value is None
    assert choose_split(_cfg(split="file"), own[1:]).value == "identity"


@pytest.mark.parametrize(("length", "side"), [(50, 96), (100, 128), (120, 160), (2000, 160)])
def test_the_crop_is_no_larger_than_the_animals(annotations, monkeypatch, length, side):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    records = [replace(record, box=record.box[[0, 1, 2, 2]] * 0 + length) for record in annotations.records]
    assert choose_size(records).value == f"[{side},{side}]"


def test_epochs_fill_the_time(annotations):
    epochs, every = choose_length(train=100, val=30, rate=50.0, minutes=5)
    # 2 seconds to train on 100, a tenth of 0.6 to validate 30.
    assert int(epochs.value) == int(300 / 2.06)
    assert int(every.value) == int(epochs.value) // 10
    assert [int(next(choose_length(count, 0, 50.0, 5)).value) for count in (1, 10**6)] == [150, 10]


def test_sides_that_nobody_knows_are_said(annotations):
    unknown = replace(annotations, skeleton=replace(annotations.skeleton, pairs=(), mirrorable=False))
    options = {choice.option for choice in choose_augmentation(unknown, unknown.records)}
    assert options == {"/aug/geometry", "data.pairs"}


@pytest.mark.slow
def test_what_is_recommended_is_trained(small_lynx, tmp_path):
    """The printed line itself, with the time cut down."""
    data = ["data=lynx", f"data.root={small_lynx}"]
    said = run("recommend", *data, "minutes=0.05", cwd=tmp_path).stderr
    line = said.split("To train it: python -m lynx_pose.train ")[1].split()
    quick = ["logger=none", "loader.num_workers=0", "trainer.enable_progress_bar=false", "hydra.run.dir=run"]
    run("train", *line, *quick, cwd=tmp_path)
    config = OmegaConf.load(tmp_path / "run" / ".hydra" / "config.yaml")
    assert config.model.name == "mobilenet_fpn"
    assert summary(tmp_path / "run")["status"] == "completed"
    again = run("recommend", *data, cwd=tmp_path, check=False)
    assert "exists already" in again.stderr
