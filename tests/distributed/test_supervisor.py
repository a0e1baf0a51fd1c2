"""Runs of several processes give what one process gives, and end together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commandline import QUICK, Command, processes_of, rows, run, summary, wait_for
from omegaconf import OmegaConf

from lynx_pose.distributed.supervisor import num_local_processes
from lynx_pose.errors import InputError

SMALL = [*QUICK, "model.input_size=[64,64]", "logger=none"]
TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    """A run of one process, two epochs of small batches."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    options = [*SMALL, "trainer.max_epochs=2", "loader.batch_size=2", "data.split=shared", f"hydra.run.dir={folder}"]
    run("train", "data=lynx", f"data.root={data}", *options, cwd=folder.parent)
    return folder


@pytest.mark.slow
def test_figures_do_not_depend_on_the_number_of_processes(trained, tmp_path):
    """Twelve animals in two batches, so that they divide unevenly among two processes, and a third gets none."""
    written = []
    for count in (1, 2, 3):
        changes = f'overrides=["trainer.devices={count}","loader.batch_size=7"]'
        run("evaluate", f"run={trained}", changes, f"hydra.run.dir={count}", cwd=tmp_path)
        output = tmp_path / str(count)
        written.append((output / "evaluation.json").read_bytes() + (output / "predictions.json").read_bytes())
    assert written[0] == written[1] == written[2]
    assert len(json.loads((output / "predictions.json").read_text())) == 12


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(trained, data, tmp_path):
    options = [*SMALL, "trainer.max_epochs=2", "loader.batch_size=1", "data.split=shared"]
    run("train", "data=lynx", f"data.root={data}", *options, *TWO, "hydra.run.dir=two", cwd=tmp_path)
    assert summary(tmp_path / "two")["processes"] == 2
    assert [row["step"] for row in rows(tmp_path / "two")] == [row["step"] for row in rows(trained)] == ["6", "12"]
    assert (tmp_path / "two" / "rank-1.log").is_file()
    wait_for(lambda: not processes_of(tmp_path), 20)


@pytest.mark.slow
def test_a_sweep_of_runs_of_two_processes(data, tmp_path):
    """One folder a job, one W&B run a job; a job that fails in both of its processes leaves the others alone."""
    process = run(
        *["train", "-m", "data=lynx", f"data.root={data}", *QUICK, "model.input_size=[64,64]", *TWO],
        *["aug=flip,noise", "data.train_fraction=0.7,7", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"],
        cwd=tmp_path,
        check=False,
    )
    assert process.returncode == 1
    jobs = {folder.name: folder for folder in (tmp_path / "sweep").iterdir() if folder.is_dir()}
    names = [f"{n}-tiny-{('flip', 'noise')[n // 2]}-train_fraction_{(0.7, 7)[n % 2]}" for n in range(4)]
    assert sorted(jobs) == names
    good, bad = [jobs[names[0]], jobs[names[2]]], [jobs[names[1]], jobs[names[3]]]
    assert [summary(job)["status"] for job in good + bad] == ["completed"] * 2 + ["failed"] * 2
    assert all(len(list(job.glob("wandb/offline-run-*"))) == 1 for job in good)
    assert all((job / "rank-1.log").is_file() for job in good)
    last = process.stderr.strip().splitlines()[-5:-2]
    assert last[0].startswith("2 of 4 jobs failed")
    assert [line.split(":")[0].strip() for line in last[1:]] == [names[1], names[3]]
    assert all("data.split=random" in line for line in last[1:])
    assert "Traceback" not in process.stderr
    wait_for(lambda: not processes_of(tmp_path), 20)


@pytest.mark.slow
def test_a_run_ends_with_any_of_its_processes(data, tmp_path):
    """The second process is killed: the first says so and ends, though it waits for the second."""
    folder = tmp_path / "run"
    options = ["data=lynx", f"data.root={data}", *SMALL, *TWO, "trainer.max_epochs=2000", f"hydra.run.dir={folder}"]
    process = Command("train", *options, cwd=tmp_path)
    wait_for((folder / "checkpoints" / "last.ckpt").is_file)
    (second,) = [pid for pid in processes_of(folder / "rank-1.log") if pid != process.pid]
    os.kill(second, signal.SIGKILL)
    ended = process.finished(90)
    assert ended.returncode == 1
    assert "process 1 of the run: was killed by SIGKILL" in ended.stderr
    assert summary(folder)["status"] == "failed"
    assert "was killed by SIGKILL" in summary(folder)["error"]
    wait_for(lambda: not processes_of(tmp_path), 20)


@pytest.mark.slow
def test_torchrun_starts_the_processes_as_well(data, tmp_path):
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [torchrun, "--nproc-per-node=2", "-m", "lynx_pose.train", "data=lynx", f"data.root={data}", *SMALL]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "trainer.max_epochs=1"], cwd=tmp_path, env=environment, check=True, timeout=300)
    (folder,) = tmp_path.glob("outputs/*/*")
    assert summary(folder)["status"] == "completed"
    assert summary(folder)["processes"] == 2
    assert (folder / "rank-1.log").is_file()
    refused = subprocess.run(
        [*command, "-m"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert "Start a sweep in one process" in refused.stderr


def test_devices_count_processes():
    count = max(1, torch.cuda.device_count())
    cases = [(2, 2), ("3", 3), ([0, 1], 2), ("auto", count), (-1, count)]
    for devices, expected in cases:
        trainer = OmegaConf.create({"devices": devices, "accelerator": "auto"})
        assert num_local_processes(trainer) == expected
    with pytest.raises(InputError, match=r"trainer\.devices=many"):
        num_local_processes(OmegaConf.create({"devices": "many", "accelerator": "auto"}))
