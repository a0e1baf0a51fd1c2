"""CONTRIBUTING's examples: each does what it says with its own files alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import QUICK, rows, run, summary
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import build_augmentation

TEXT = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(re.findall(r"```(?:yaml|python)\n# (\S+)\n(.*?)```", TEXT, flags=re.DOTALL))
PARTS = {
    "model=small_mobile": ["conf/model/small_mobile.yaml"],
    "head=sharp": ["conf/head/sharp.yaml"],
    "head/codec/decoding=centroid": ["conf/head/codec/decoding/centroid.yaml", "centroid.py"],
    "aug=dust": ["conf/aug/dust.yaml"],
    "data=my_traps": ["conf/data/my_traps.yaml"],
    "+metric=worst_keypoint": ["conf/metric/worst_keypoint.yaml", "worst_keypoint.py"],
}
COMMAND = ["conf/count.yaml", "count.py", "counting.py"]


def _write(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(EXAMPLES[name])
    return folder


def test_every_example_belongs_to_a_part():
    assert sorted(EXAMPLES) == sorted([name for names in PARTS.values() for name in names] + COMMAND)


@pytest.mark.parametrize("option", PARTS)
def test_its_files_are_enough(option, tmp_path, monkeypatch):
    """Without the files of the other examples."""
    monkeypatch.syspath_prepend(_write(tmp_path, PARTS[option]))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"hydra.searchpath=[file://{tmp_path}/conf]", "model=tiny", option])
    build_net(cfg, 20)
    build_augmentation(cfg)


@pytest.mark.slow
def test_training_takes_them_all(data, tmp_path):
    _write(tmp_path, EXAMPLES)
    options = [*PARTS, *QUICK[1:], "logger=none", "model.input_size=[64,64]", "trainer.max_epochs=1"]
    run(
        *("train", "--config-dir=conf", *options, "data.split=random", f"data.root={data}", "hydra.run.dir=run"),
        cwd=tmp_path,
    )
    assert summary(tmp_path / "run")["status"] == "completed"
    assert summary(tmp_path / "run")["name"] == "small_mobile-dust"
    (epoch,) = rows(tmp_path / "run")
    untrusted = run("evaluate", "run=run", cwd=tmp_path, check=False)
    assert "trust=true" in untrusted.stderr
    run("evaluate", "run=run", "trust=true", cwd=tmp_path)
    assert float(epoch["val/worst_keypoint_px"]) >= float(epoch["val/mean_error_px"])


def test_a_command_of_three_files(data, tmp_path):
    """Every animal of the small dataset has at least one keypoint."""
    _write(tmp_path, COMMAND)
    command = [sys.executable, "-m", "count", "--config-dir=conf", "data=lynx", f"data.root={data}"]
    counted = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert counted.stdout.split() == ["12", "animals"], counted.stderr
