"""Processes that torchrun or SLURM started, here as threads, tell each other what to do."""

import threading

import pytest
from omegaconf import OmegaConf

from lynx_pose.announcement import Announcement, Board, Leading, following
from lynx_pose.errors import InputError, ProcessError
from lynx_pose.processes import OwnEnvironment
from lynx_pose.run_folder import RunFolder


class Place(OwnEnvironment):
    def world_size(self):
        return 2

    def global_rank(self):
        return self.rank


@pytest.fixture
def boards():
    """Those of processes 0 and 1."""
    first = Place(0)
    return Board(first), Board(Place(1, first.port))


@pytest.fixture
def announcement(tmp_path):
    return Announcement(OmegaConf.create({"name": "a run", "seed": 3}), RunFolder(tmp_path), tmp_path / "last.ckpt")


def follow(board, heard):
    with following(board) as told:
        heard.append(told)


def test_process_1_hears_what_to_train_and_no_thread_is_left(boards, announcement):
    before, heard = threading.active_count(), []
    follower = threading.Thread(target=follow, args=(boards[1], heard))
    follower.start()
    with Leading(boards[0], announcement):
        follower.join()
    assert heard == [announcement]
    # One that were in torch's C++ when Python ends would abort the process, now and then.
    assert threading.active_count() == before


def test_process_0_says_what_process_1_failed_of(boards, announcement):
    boards[1].count("come", 1)
    boards[1].leave("failure", "process 1 of the run: no more memory")
    with pytest.raises(ProcessError, match="no more memory"), Leading(boards[0], announcement):
        raise RuntimeError("a connection was lost")
    assert boards[1].note("over") == ""


def test_bad_input_is_said_in_its_own_words(boards, announcement):
    boards[1].count("come", 1)
    with pytest.raises(InputError, match="seed=x"), Leading(boards[0], announcement):
        raise InputError("seed=x: must be a number")
