"""Checkpoints are whole or not there, whatever the disk does."""

import logging

import pytest
import torch

from lynx_pose.errors import InputError
from lynx_pose.training.checkpoint import AtomicCheckpointIO, resumable_checkpoint
from lynx_pose.training.run_folder import RunFolder


def _content(epoch):
    return {"epoch": epoch, "state_dict": {}, "optimizer_states": [], "loops": {}}


def _epoch(path):
    return torch.load(path, weights_only=True)["epoch"]


def test_the_last_but_one_stays(tmp_path):
    folder = RunFolder(tmp_path)
    files = AtomicCheckpointIO(folder)
    for epoch in range(3):
        files.save_checkpoint(_content(epoch), str(folder.last))
    assert (_epoch(folder.last), _epoch(folder.before_last)) == (2, 1)
    assert resumable_checkpoint(folder.last) == folder.last
    files.require_written()
    files.save_checkpoint(_content(2), str(folder.best))
    assert sorted(path.name for path in folder.last.parent.iterdir()) == ["before-last.ckpt", "best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("damage", ["cut off", "gone", "weights alone"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(tmp_path, caplog, damage):
    folder = RunFolder(tmp_path)
    files = AtomicCheckpointIO(folder)
    for epoch in range(2):
        files.save_checkpoint(_content(epoch), folder.last)
    if damage == "cut off":
        folder.last.write_bytes(folder.last.read_bytes()[:100])
    elif damage == "gone":
        folder.last.unlink()
    else:
        torch.save({"state_dict": {}}, folder.last)
    with caplog.at_level(logging.WARNING):
        assert _epoch(resumable_checkpoint(folder.last)) == 0
    assert "Continuing from the one before it" in caplog.text
    folder.before_last.write_bytes(b"")
    with pytest.raises(InputError, match=r"before-last\.ckpt: is not a readable checkpoint"):
        resumable_checkpoint(folder.last)


def test_a_file_system_that_vanishes_and_comes_back(tmp_path, caplog):
    """A file where the folder was stands for a mount that is gone."""
    folder = RunFolder(tmp_path / "run")
    files = AtomicCheckpointIO(folder)
    files.save_checkpoint(_content(0), folder.last)
    folder.last.parent.rename(tmp_path / "away")
    folder.last.parent.write_text("nothing is mounted here")
    files.save_checkpoint(_content(1), folder.last)
    assert "last.ckpt: could not be written" in caplog.text
    with pytest.raises(InputError, match="Make room"):
        files.require_written()
    folder.last.parent.unlink()
    (tmp_path / "away").rename(folder.last.parent)
    assert _epoch(folder.last) == 0
    files.save_checkpoint(_content(2), folder.last)
    files.require_written()
    assert (_epoch(folder.last), _epoch(folder.before_last)) == (2, 0)
