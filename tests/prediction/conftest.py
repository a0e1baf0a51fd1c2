"""A trained run, for all that begins with one."""

import pytest
from commandline import QUICK, run
from small_datasets import lynx_pose_content, write_lynx_pose


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of a run of a small network, one epoch on twelve pictures that lie beside it in `data`."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_lynx_pose(folder / "data", lynx_pose_content(12))
    options = [*QUICK, "model.input_size=[64,64]", "logger=none", "trainer.max_epochs=1", "aug=flip"]
    run("train", "data=lynx", f"data.root={data}", *options, "hydra.run.dir=run", cwd=folder)
    return folder / "run"
