"""CONTRIBUTING's examples: each is one file, and training takes them."""

import re
from pathlib import Path

import pytest
from commandline import QUICK, run, summary
from hydra import compose, initialize_config_dir

from lynx_pose.config import CONF
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import build_augmentation

TEXT = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text()
EXAMPLES = dict(re.findall(r"```yaml\n# conf/(\S+)\n(.*?)```", TEXT, flags=re.DOTALL))


@pytest.fixture
def folder(tmp_path):
    for path, body in EXAMPLES.items():
        (tmp_path / "conf" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / path).write_text(body)
    return tmp_path / "conf"


def test_there_is_an_example_of_each_part():
    assert sorted(path.split("/")[0] for path in EXAMPLES) == ["aug", "data", "head", "model"]


@pytest.mark.parametrize("path", EXAMPLES)
def test_one_file_is_enough(path, folder):
    """Without the files of the other examples."""
    for other in EXAMPLES.keys() - {path}:
        (folder / other).unlink()
    group, name = path.removesuffix(".yaml").split("/")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = [f"hydra.searchpath=[file://{folder}]", "model=tiny", f"{group}={name}"]
        cfg = compose("train", overrides=overrides)
    assert cfg[group].name == name if group != "head" else cfg.head.codec.sigma == 1.0
    build_net(cfg, 20)
    build_augmentation(cfg)


@pytest.mark.slow
def test_training_takes_them_all(folder, data, tmp_path):
    options = ["model=small_mobile", "head=sharp", "aug=dust", "data=my_traps", *QUICK[1:], "logger=none"]
    run(
        *("train", f"--config-dir={folder}", *options, "model.input_size=[64,64]", "trainer.max_epochs=1"),
        *("data.split=random", "hydra.run.dir=run"),
        cwd=tmp_path,
        MY_TRAPS=str(data),
    )
    assert summary(tmp_path / "run")["status"] == "completed"
    assert summary(tmp_path / "run")["name"] == "small_mobile-dust"
