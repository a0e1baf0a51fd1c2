"""Runs and sweeps that are killed, stopped, starved of disk or damaged lose at most an epoch."""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys

import pytest
from commandline import QUICK, Command, assert_same_result, processes_of, run, summary, wait_for

SMALL = [*QUICK, "model.input_size=[64,64]", "loader.num_workers=2"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    """The options of a run, and its folder after six epochs without interruption."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    options = ["data=lynx", f"data.root={data}", *SMALL, "trainer.max_epochs=6"]
    run("train", *options, f"hydra.run.dir={folder}", cwd=folder.parent)
    return options, folder


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bits(whole, tmp_path):
    """Killed without warning in the middle of an epoch, twice; a damaged last checkpoint costs one more epoch."""
    options, uninterrupted = whole
    folder = tmp_path / "run"
    last, before = folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "before-last.ckpt"
    process = Command("train", *options, f"hydra.run.dir={folder}", cwd=tmp_path)
    wait_for(before.is_file)
    process.send_signal(signal.SIGKILL)
    process.finished()
    assert summary(folder)["status"] == "running"
    kept = summary(folder)["wandb"]
    last.write_bytes(last.read_bytes()[:5000])
    continued = run("train", *options, f"ckpt={last}", cwd=tmp_path)
    assert "last.ckpt: is not a readable checkpoint" in continued.stderr
    assert "Continuing from the one before it" in continued.stderr
    assert summary(folder)["status"] == "completed"
    assert summary(folder)["wandb"] == kept
    assert_same_result(folder, uninterrupted)


@pytest.mark.slow
def test_ctrl_c_gives_the_line_that_continues(whole, tmp_path):
    """The line itself, typed into a shell."""
    options, uninterrupted = whole
    folder = tmp_path / "a run"
    process = Command("train", *options, f"hydra.run.dir={folder}", cwd=tmp_path)
    wait_for((folder / "checkpoints" / "before-last.ckpt").is_file)
    process.send_signal(signal.SIGINT)
    ended = process.finished(60)
    assert ended.returncode != 0
    assert summary(folder)["status"] == "interrupted"
    said, line = ended.stderr.strip().splitlines()[-2:]
    assert re.search(r"interrupted after [2-5] epochs\. To continue:$", said), ended.stderr
    command = line.strip().replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(command, shell=True, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    assert_same_result(folder, uninterrupted)


@pytest.mark.slow
def test_a_sweep_is_resumed(whole, data, tmp_path):
    """One job is killed in the middle, one fails, one is not reached, one is new; what is done is not done again."""
    options, uninterrupted = whole
    folder = tmp_path / "sweep"
    options = [*options, "logger=none", "hydra.launcher.jobs=1"]
    sweep = [*options, "data.train_fraction=0.75,7"]
    process = Command("train", "-m", *sweep, "seed=0,1", f"hydra.sweep.dir={folder}", cwd=tmp_path)
    # The folders of the first attempt keep their names when more jobs are added.
    names = [f"{n}-tiny-geometric-train_fraction_{n // 2 * 6.25 + 0.75:g}-seed_{n % 2}" for n in range(4)]
    wait_for((folder / names[1] / "summary.json").is_file)
    wait_for((folder / names[0] / "checkpoints" / "last.ckpt").is_file)
    process.send_signal(signal.SIGKILL)
    process.finished()
    wait_for(lambda: not processes_of(folder), 40)
    first = folder / names[0]
    process = run("train", "-m", *sweep, "seed=0,1,2", f"sweep.resume={folder}", cwd=tmp_path, check=False)
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [job["folder"].split("-")[0] for job in jobs] == [str(number) for number in range(6)]
    assert [job["folder"] for job in jobs][:2] == names[:2]
    assert [job["status"] for job in jobs].count("completed") == 3
    assert [job["status"] for job in jobs].count("failed") == 3
    assert_same_result(first, uninterrupted)
    assert process.returncode == 1
    assert "3 of 5 jobs failed" in process.stderr
    stamp = (first / "metrics.csv").stat().st_mtime_ns
    again = run(
        "train", "-m", *options, "data.train_fraction=0.75", "seed=0,1,2", f"sweep.resume={folder}", cwd=tmp_path
    )
    assert "0 of 3 jobs are left to run" in again.stdout + again.stderr
    assert (first / "metrics.csv").stat().st_mtime_ns == stamp
    _assert_refusals(options, folder, data, tmp_path)


def _assert_refusals(options, folder, data, cwd):
    """The same sweep with another option, and with other annotations."""
    sweep = ["train", "-m", *options, "data.train_fraction=0.75", f"sweep.resume={folder}"]
    refused = run(*sweep, "seed=0,1", "flip_test=false", cwd=cwd, check=False)
    assert "differ in flip_test" in refused.stderr
    refused = run("train", "-m", *options, "sweep.resume=nowhere", cwd=cwd, check=False)
    assert "nowhere holds no sweep" in refused.stderr
    assert not (cwd / "nowhere").exists()
    path = data / "metadata_cleaned.json"
    content = path.read_text()
    path.write_text(content + "\n ")
    refused = run(*sweep, "seed=0,1", cwd=cwd, check=False)
    path.write_text(content)
    assert "the annotations of data=lynx have changed" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_job_that_takes_too_long_is_stopped_and_the_others_go_on(data, tmp_path):
    """The second job has all the time it needs, however busy the machine is."""
    variants = tmp_path / "conf" / "variant"
    variants.mkdir(parents=True)
    for name, epochs, timeout in (("endless", 9000, 15), ("short", 1, 600)):
        text = f"# @package _global_\ntrainer: {{max_epochs: {epochs}}}\nsweep: {{timeout: {timeout}}}\n"
        (variants / f"{name}.yaml").write_text(text)
    options = ["data=lynx", f"data.root={data}", *SMALL, "logger=none", "variant=endless,short"]
    arguments = ["-m", f"--config-dir={tmp_path}/conf", *options, "hydra.sweep.dir=sweep"]
    process = run("train", *arguments, cwd=tmp_path, check=False)
    assert process.returncode == 1
    endless, short = tmp_path / "sweep" / "0-tiny-geometric", tmp_path / "sweep" / "1-tiny-geometric"
    assert summary(endless)["status"] == "failed"
    assert "took longer than sweep.timeout=15 seconds" in summary(endless)["error"]
    assert summary(short)["status"] == "completed"
    assert "0-tiny-geometric: took longer than sweep.timeout=15" in process.stderr.strip().splitlines()[-3]
    wait_for(lambda: not processes_of(tmp_path), 20)


@pytest.mark.slow
def test_jobs_side_by_side_share_the_cores(data, tmp_path):
    options = ["data=lynx", f"data.root={data}", *QUICK, "model.input_size=[64,64]", "logger=none"]
    arguments = [*options, "seed=1,2", "trainer.max_epochs=1", "hydra.launcher.jobs=2", "hydra.sweep.dir=sweep"]
    run("train", "-m", *arguments, cwd=tmp_path, OMP_NUM_THREADS="")
    jobs = [tmp_path / "sweep" / f"{number}-tiny-geometric-seed_{number + 1}" for number in range(2)]
    assert [summary(job)["status"] for job in jobs] == ["completed"] * 2
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert {summary(job)["threads"] for job in jobs} == {share}
    assert all("3 to validate on" in (job / "output.txt").read_text() for job in jobs)


@pytest.mark.slow
def test_a_full_disk_costs_no_checkpoint_that_is_there(whole, tmp_path):
    """The system refuses files of more than 8 kB, as a full disk would: training goes on, and says so."""
    options, uninterrupted = whole
    folder = tmp_path / "run"
    last = folder / "checkpoints" / "last.ckpt"
    run("train", *options, "trainer.max_epochs=2", f"hydra.run.dir={folder}", cwd=tmp_path)
    kept = last.read_bytes()

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    # Loading processes would pass pictures on through files of the kind that the limit forbids.
    more = ["loader.num_workers=0", f"ckpt={last}"]
    command = [sys.executable, "-m", "lynx_pose.train", *options, *more]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
    _, messages = process.communicate(timeout=300)
    assert process.returncode == 1
    assert messages.count("last.ckpt: could not be written ([Errno 27] File too large") > 2
    assert "Make room" in messages
    assert "Traceback" not in messages
    assert summary(folder)["status"] == "failed"
    assert last.read_bytes() == kept
    assert not list(folder.rglob(".draft-*"))
    run("train", *options, f"ckpt={last}", cwd=tmp_path)
    assert_same_result(folder, uninterrupted)


@pytest.mark.slow
def test_one_run_has_one_process_that_trains_it(data, tmp_path):
    folder = tmp_path / "run"
    options = ["data=lynx", f"data.root={data}", *SMALL, "logger=none", "trainer.max_epochs=2000"]
    process = Command("train", *options, f"hydra.run.dir={folder}", cwd=tmp_path)
    last = folder / "checkpoints" / "last.ckpt"
    wait_for(last.is_file)
    second = run("train", *options, f"ckpt={last}", cwd=tmp_path, check=False)
    assert "is being trained by another process" in second.stderr
    process.send_signal(signal.SIGTERM)
    process.finished(60)
    assert summary(folder)["status"] == "interrupted"
    wait_for(lambda: not processes_of(tmp_path), 20)


@pytest.mark.slow
def test_a_killed_job_is_tried_again_and_a_bad_one_is_not(whole, data, tmp_path):
    """Its process is killed for real; the second attempt goes on from its last checkpoint to the same result."""
    options, uninterrupted = whole
    folder = tmp_path / "sweep"
    more = ["logger=none", "hydra.launcher.jobs=1", "sweep.retries=1", "data.train_fraction=0.75,7"]
    process = Command("train", "-m", *options, *more, f"hydra.sweep.dir={folder}", cwd=tmp_path)
    first = folder / "0-tiny-geometric-train_fraction_0.75"
    wait_for((first / "checkpoints" / "last.ckpt").is_file)
    killed = processes_of(first)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    ended = process.finished(300)
    assert killed
    assert ended.stdout.count("is started again, from its last checkpoint") == 1
    assert "1 of 2 jobs failed" in ended.stderr
    assert summary(first)["status"] == "completed"
    assert_same_result(first, uninterrupted)


@pytest.mark.slow
def test_the_first_failure_ends_a_sweep_that_shall_fail_fast(data, tmp_path):
    options = ["data=lynx", f"data.root={data}", *SMALL, "logger=none", "hydra.launcher.jobs=2", "sweep.fail_fast=true"]
    arguments = [*options, "data.train_fraction=7,0.75", "seed=1,2", "trainer.max_epochs=9000"]
    process = run("train", "-m", *arguments, "hydra.sweep.dir=sweep", cwd=tmp_path, check=False)
    assert process.returncode == 1
    assert "the others are stopped (sweep.fail_fast)" in process.stdout
    # Of the jobs that began; one may be stopped before it writes its summary.
    states = [job["status"] for job in json.loads((tmp_path / "sweep" / "sweep.json").read_text())["jobs"]]
    assert "failed" in states
    assert "completed" not in states
    wait_for(lambda: not processes_of(tmp_path), 20)
