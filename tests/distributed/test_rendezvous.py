"""Processes that torchrun or SLURM started, here as threads, tell each other what to do."""

import threading

import pytest
from omegaconf import OmegaConf

from lynx_pose.distributed.rendezvous import ExternalWorkers, Rendezvous, RunSpec, joined_run
from lynx_pose.distributed.supervisor import LocalEnvironment
from lynx_pose.errors import InputError, ProcessError
from lynx_pose.training.run_folder import RunFolder


class Place(LocalEnvironment):
    def world_size(self):
        return 2

    def global_rank(self):
        return self.rank


@pytest.fixture
def stores():
    """Those of processes 0 and 1."""
    first = Place(0)
    return Rendezvous(first), Rendezvous(Place(1, first.port))


@pytest.fixture
def spec(tmp_path):
    return RunSpec(OmegaConf.create({"name": "a run", "seed": 3}), RunFolder(tmp_path), tmp_path / "last.ckpt")


def follow(store, heard):
    with joined_run(store) as told:
        heard.append(told)


def test_process_1_hears_what_to_train_and_no_thread_is_left(stores, spec):
    before, heard = threading.active_count(), []
    follower = threading.Thread(target=follow, args=(stores[1], heard))
    follower.start()
    with ExternalWorkers(stores[0], spec):
        follower.join()
    assert heard == [spec]
    # One that were in torch's C++ when Python ends would abort the process, now and then.
    assert threading.active_count() == before


def test_process_0_says_what_process_1_failed_of(stores, spec):
    stores[1].add("joined", 1)
    stores[1].set("failure", "process 1 of the run: no more memory")
    with pytest.raises(ProcessError, match="no more memory"), ExternalWorkers(stores[0], spec):
        raise RuntimeError("a connection was lost")
    assert stores[1].get("aborted") == ""


def test_bad_input_is_said_in_its_own_words(stores, spec):
    stores[1].add("joined", 1)
    with pytest.raises(InputError, match="seed=x"), ExternalWorkers(stores[0], spec):
        raise InputError("seed=x: must be a number")
