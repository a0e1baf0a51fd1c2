"""What cannot be used gives one message that names it."""

import pytest
from commandline import QUICK, run, summary
from small_datasets import lynx_pose_content, write_lynx_pose


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=lynx"], "please give them: data.root=..."),
        (["data=lynx", "data.root=nowhere"], "data.root=nowhere: there is no such folder"),
        (["aug=colour"], "aug=colour: there is no such choice; did you mean color?"),
        (["hydra.run.dir=/proc/run"], "hydra.run.dir=/proc/run: cannot be written to"),
        (["-m", "hydra.sweep.dir=/proc/sweep"], "hydra.sweep.dir=/proc/sweep: cannot be written to"),
        (["data.rot=x"], "there is no option data.rot=; did you mean data.root=?"),
    ],
)
def test_bad_options_give_one_message_and_no_traceback(tmp_path, arguments, message):
    process = run("train", *arguments, cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def test_a_bad_image_is_named_from_a_loading_process(tmp_path, data):
    folder = write_lynx_pose(tmp_path / "bad", lynx_pose_content(6))
    path = folder / "Traps" / "004.jpg"
    path.write_bytes(path.read_bytes()[:300])
    options = ["data=lynx", f"data.root={folder}", *QUICK, "data.split=shared", "logger=none", "trainer.max_epochs=1"]
    process = run("train", *options, "loader.num_workers=2", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert f"{path}: the image cannot be decoded" in process.stderr
    assert "annotations[4]" in process.stderr
    assert "Traceback" not in process.stderr
    assert summary(next(tmp_path.glob("outputs/*/*")))["status"] == "failed"
    process = run("train", *options, "data.on_error=skip", cwd=tmp_path)
    assert "images that cannot be used (1)" in process.stderr
