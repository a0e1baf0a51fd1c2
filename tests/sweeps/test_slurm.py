"""A sweep on a real SLURM of two nodes on this machine, which start_slurm.sh starts."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from commandline import QUICK, assert_same_result, processes_of, rows, run, summary, wait_for

SMALL = [*QUICK, "model.input_size=[64,64]"]
QUEUE = [
    "hydra/launcher=slurm",
    "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=null",
]
# Names of nodes that only SLURM knows cannot be looked up.
HERE = {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module", autouse=True)
def slurm():
    if shutil.which("sinfo") is None:
        pytest.skip("SLURM is not installed here: apt-get install slurm-wlm munge, then tests/sweeps/start_slurm.sh")
    nodes = subprocess.run(
        ["sinfo", "--noheader", "--Node", "--format=%N"], capture_output=True, text=True, check=False
    )
    if not {"near", "far"} <= set(nodes.stdout.split()):
        pytest.skip("the tests' SLURM is not running: tests/sweeps/start_slurm.sh starts it")


def _job_ids(sweep, count):
    """Return the ids of a sweep's SLURM jobs, once they are submitted, in the order of the sweep's jobs."""

    wait_for(lambda: len(_submitted(sweep)) == count)
    return sorted(_submitted(sweep), key=lambda name: int(name.split("_")[1]))


def _submitted(sweep):
    return [path.name for path in (sweep / ".submitit").glob("[0-9]*_*")]


def _in_queue(job_id):
    queue = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i"], capture_output=True, text=True, check=True
    )
    return job_id in queue.stdout.split()


@pytest.mark.slow
def test_a_sweep_of_slurm_jobs_of_two_tasks(data, tmp_path):
    """Of four jobs one is cancelled half way and queued again, one is pre-empted, and one fails."""
    sweep = tmp_path / "sweep"
    options = ["data=lynx", f"data.root={data}", *SMALL, "trainer=ddp", "trainer.devices=2", "loader.batch_size=2"]
    arguments = ["-m", *options, *QUEUE, f"hydra.sweep.dir={sweep}", "hydra.launcher.array_parallelism=2"]
    values = ["aug=flip", "optimizer.lr=1e-3,2e-3,3e-3,nonsense", "trainer.max_epochs=16"]
    command = [sys.executable, "-m", "lynx_pose.train", *arguments, *values]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | HERE, stderr=subprocess.PIPE, text=True)
    cancelled, preempted, *_ = _job_ids(sweep, 4)
    rates = ("0.001", "0.002", "0.003", "nonsense")
    first, second, third, fourth = (sweep / f"{number}-tiny-flip-lr_{rate}" for number, rate in enumerate(rates))
    wait_for((first / "checkpoints" / "last.ckpt").is_file)
    subprocess.run(["scancel", cancelled], check=True)
    # Both act while the jobs train, which is for a few seconds only.
    wait_for((second / "checkpoints" / "last.ckpt").is_file)
    # As SLURM does before it takes a place away. The job queues itself again so quickly that scancel is puzzled, and
    # left alone it would send the signal again until the job runs once more.
    subprocess.run(["timeout", "2", "scancel", "--signal=USR2", preempted], check=False)
    wait_for(lambda: not _in_queue(cancelled))
    assert summary(first)["status"] == "interrupted"
    kept = {folder: summary(folder)["wandb"] for folder in (first, second)}
    subprocess.run(["scontrol", "requeue", cancelled], check=True)
    _, messages = process.communicate(timeout=400)
    assert process.returncode == 1
    assert [summary(folder)["status"] for folder in (first, second, third)] == ["completed"] * 3, messages
    assert summary(fourth)["status"] == "failed"
    for folder in (first, second):
        assert [int(row["epoch"]) for row in rows(folder)] == list(range(16))
        assert summary(folder)["wandb"] == kept[folder]
        assert summary(folder)["processes"] == 2
        assert len(list(folder.glob("wandb/offline-run-*"))) == 2
        assert (folder / "rank-1.log").is_file()
    last = messages.strip().splitlines()[-4:-2]
    assert last[0].startswith("1 of 4 jobs failed")
    assert last[1].strip().startswith("3-tiny-flip-lr_nonsense")
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    assert [job["status"] for job in jobs] == ["completed"] * 3 + ["failed"]
    alone = [*options, "aug=flip", "optimizer.lr=1e-3", "trainer.max_epochs=16", f"hydra.run.dir={tmp_path}/alone"]
    run("train", *alone, cwd=tmp_path, OMP_NUM_THREADS="1")
    assert_same_result(first, tmp_path / "alone")
    wait_for(lambda: not processes_of(tmp_path), 20)


@pytest.mark.slow
def test_a_run_on_two_nodes(data, tmp_path):
    """As a job of a sweep, and started by srun itself, where only process 0 reads the command line."""
    options = ["data=lynx", f"data.root={data}", *SMALL, "logger=none", "trainer.max_epochs=1", "aug=flip"]
    arguments = [*options, *QUEUE, "trainer.num_nodes=2", "hydra.sweep.dir=sweep"]
    run("train", "-m", *arguments, cwd=tmp_path, **HERE)
    command = ["srun", "--nodes=2", "--ntasks-per-node=1", sys.executable, "-m", "lynx_pose.train", *options]
    subprocess.run(command, cwd=tmp_path, env=os.environ | HERE, check=True, timeout=300)
    (started,) = tmp_path.glob("outputs/*/*")
    for folder in (tmp_path / "sweep" / "0-tiny-flip", started):
        assert summary(folder)["status"] == "completed"
        assert summary(folder)["processes"] == 2
        assert (folder / "rank-1.log").is_file()
    assert (started / "metrics.csv").read_text() == (tmp_path / "sweep" / "0-tiny-flip" / "metrics.csv").read_text()


@pytest.mark.slow
def test_a_search_of_slurm_jobs_goes_on_after_its_process_was_killed(data, tmp_path):
    """The jobs that run then come to their end without it, and are submitted once."""
    sweep = tmp_path / "sweep"
    options = ["data=lynx", f"data.root={data}", *SMALL, *QUEUE, "logger=none", "aug=flip", "trainer.max_epochs=40"]
    options += ["hydra/sweeper=optuna", "optimizer.lr=interval(1e-4,1e-2)", "hydra.sweeper.trials=4"]
    options += ["hydra.sweeper.at_once=2"]
    command = [sys.executable, "-m", "lynx_pose.train", "-m", *options, f"hydra.sweep.dir={sweep}"]
    process = subprocess.Popen(command, cwd=tmp_path, env=os.environ | HERE)
    wait_for(lambda: len(list(sweep.glob("[01]-*/checkpoints/last.ckpt"))) == 2, 200)
    process.send_signal(signal.SIGKILL)
    process.wait()
    refused = run("train", "-m", *options, f"sweep.resume={sweep}", cwd=tmp_path, check=False, **HERE)
    assert "is being run at this moment" in refused.stderr
    wait_for(lambda: not any(_in_queue(name) for name in _submitted(sweep)), 200)
    again = run("train", "-m", *options, f"sweep.resume={sweep}", cwd=tmp_path, **HERE)
    assert "search: 4 completed" in again.stdout
    assert len(_submitted(sweep)) == 4
    assert [summary(path)["status"] for path in sorted(sweep.glob("[0-9]-*"))] == ["completed"] * 4
