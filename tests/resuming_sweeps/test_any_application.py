"""The sweepers and the launcher with an application that knows nothing of them, in real processes."""

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import processes_of, wait_for

import hydra_plugins.resuming_sweeps

APPLICATION = """
import os, pathlib, signal, sys, time
import hydra

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(cfg):
    assert not any(name.startswith(("lynx_pose", "torch")) for name in sys.modules)
    with open(f"{cfg.log}/attempts.txt", "a") as file:
        print(cfg.x, file=file)
    if cfg.kill == cfg.x and not pathlib.Path(cfg.log, "killed").exists():
        pathlib.Path(cfg.log, "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(cfg.seconds)
    return 1 / cfg.x - (cfg.x - 2) ** 2

if __name__ == "__main__":
    main()
"""
CONFIG = """
defaults:
  - _self_
  - override hydra/launcher: processes
  - override hydra/sweeper: resumable
log: ???
x: 1
kill: null
seconds: 0
hydra:
  launcher:
    jobs: 2
"""


@pytest.fixture
def application(tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def _command(folder, *options):
    log, sweep = f"log={folder}", f"hydra.sweep.dir={folder}/sweep"
    return [sys.executable, str(folder / "app.py"), "-m", log, sweep, "hydra.sweep.subdir=${hydra:job.num}", *options]


def _sweep(folder, *options):
    return subprocess.run(_command(folder, *options), cwd=folder, capture_output=True, text=True, check=False)


def _records(folder):
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("sweep/*/job.json"))}


def _attempts(folder):
    return sorted((folder / "attempts.txt").read_text().split())


def test_a_job_that_is_killed_or_fails_takes_no_other_and_is_run_again_alone(application):
    """Of x = 0, 1, 2, 3 the first divides by zero, and the last is killed at its first attempt."""
    first = _sweep(application, "x=0,1,2,3", "kill=3")
    assert first.returncode == 1
    assert "2 of 4 jobs failed; hydra.sweeper.resume=true hydra.sweep.dir=" in first.stderr
    assert "0: division by zero" in first.stderr
    assert "3: was killed by SIGKILL" in first.stderr
    records = _records(application)
    assert [record["status"] for record in records.values()] == ["failed", "completed", "completed", "failed"]
    assert [records[name]["result"] for name in "12"] == [0.0, 0.5]
    assert (application / "sweep" / "1" / ".hydra" / "config.yaml").is_file()
    # A fifth is added, and what is completed stays.
    again = _sweep(application, "x=0,1,2,3,4", "kill=3", "hydra.sweeper.resume=true")
    assert "1 of 3 jobs failed" in again.stderr
    states = ["failed", "completed", "completed", "completed", "completed"]
    assert [record["status"] for record in _records(application).values()] == states
    assert _attempts(application) == ["0", "0", "1", "2", "3", "3", "4"]
    refused = _sweep(application, "x=1,2", "seconds=1", "hydra.sweeper.resume=true")
    assert "hydra.sweeper.resume: this command and the sweep differ in kill, seconds" in refused.stderr


def test_a_killed_job_is_retried_and_a_slow_one_is_stopped(application):
    done = _sweep(application, "x=1,2", "kill=2", "hydra.launcher.retries=1")
    assert done.returncode == 0, done.stderr
    assert _attempts(application) == ["1", "2", "2"]
    (application / "sweep").rename(application / "first")
    slow = _sweep(application, "x=1,2", "seconds=60", "hydra.launcher.timeout=3", "hydra.launcher.fail_fast=true")
    assert "took longer than hydra.launcher.timeout=3" in slow.stderr
    assert slow.returncode == 1


def test_a_sweep_that_is_killed_is_completed_and_none_runs_twice(application):
    options = ["x=1,2,3,4,5,6", "seconds=1.5"]
    process = subprocess.Popen(_command(application, *options), cwd=application, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(_records(application)) >= 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not processes_of(application), 40)
    before = [name for name, record in _records(application).items() if record["status"] == "completed"]
    assert 2 <= len(before) < 6
    again = _sweep(application, *options, "hydra.sweeper.resume=true")
    assert again.returncode == 0, again.stderr
    assert [record["status"] for record in _records(application).values()] == ["completed"] * 6
    for name in before:
        assert _attempts(application).count(str(int(name) + 1)) == 1


def test_a_search_finds_the_best_and_goes_on(application):
    options = ["hydra/sweeper=searching", "x=interval(0.5,4.0)", "hydra.sweeper.trials=8"]
    first = _sweep(application, *options)
    assert first.returncode == 0, first.stderr
    more = _sweep(application, *options[:2], "hydra.sweeper.trials=16", "hydra.sweeper.resume=true")
    assert "16 completed" in more.stdout
    results = [record["result"] for record in _records(application).values()]
    assert len(results) == 16
    # The highest of 1 / x - (x - 2)^2 is 0.57, at x = 1.87.
    assert max(results) > 0.5
    assert f"result {max(results):.4f}" in more.stdout
    refused = _sweep(application, *options)
    assert "holds a sweep already; go on with it by hydra.sweeper.resume=true" in refused.stderr
    unknown = _sweep(application, "x=interval(0.5,4.0)")
    assert "an interval is for a search, not for a grid" in unknown.stderr


def test_the_plugin_needs_nothing_of_the_rest():
    for path in Path(hydra_plugins.resuming_sweeps.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("lynx_pose", "torch", "pytorch_lightning") for name in names), path
