"""Runs command lines in processes of their own and reads what they wrote."""

import csv
import gc
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from lynx_pose.sweeps.pose_application import PoseApplication

TIMEOUT = 900
QUICK = [
    "experiment=demo",
    "loader.num_workers=0",
    "loader.batch_size=4",
    "trainer.enable_progress_bar=false",
    "trainer.precision=32-true",
]


# Forks the processes of command lines after importing what takes them several seconds each.
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload([*PoseApplication.preload, "lynx_pose.evaluation.validate", "commandline"])


class Command:
    """`python -m lynx_pose.MODULE` in a process of its own, whose imports are done already."""

    def __init__(self, module, *arguments, cwd, **environment):
        self._folder = tempfile.TemporaryDirectory()
        self._files = Path(self._folder.name, "stdout"), Path(self._folder.name, "stderr")
        values = os.environ | {"COLUMNS": "200"} | environment
        self._process = WARM.Process(target=_command, args=(module, arguments, str(cwd), values, *self._files))
        self._process.start()
        self.pid = self._process.pid

    def send_signal(self, number):
        os.kill(self.pid, number)

    def finished(self, timeout=TIMEOUT):
        """Wait for its end, and return what it said as a finished process."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"took longer than {timeout} seconds"
        output = [file.read_text() for file in self._files]
        self._folder.cleanup()
        return subprocess.CompletedProcess((), self._process.exitcode, *output)


def run(module, *arguments, cwd, check=True, **environment):
    """Run `python -m lynx_pose.MODULE` and return the finished process; its imports are done already."""
    return _checked(Command(module, *arguments, cwd=cwd, **environment).finished(), check)


def _command(module, arguments, cwd, environment, stdout, stderr):
    # As a job of a sweep does.
    gc.freeze()
    # Where the tests themselves run in the background, children would be born deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for stream, path in ((sys.stdout, stdout), (sys.stderr, stderr)):
        with path.open("wb") as file:
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = [f"{module}.py", *arguments]
    # As python -m does, where the present folder comes first.
    sys.path.insert(0, cwd)
    runpy.run_module(f"lynx_pose.{module}", run_name="__main__", alter_sys=True)


def run_fresh(module, *arguments, cwd, check=True, **environment):
    """Run `python -m lynx_pose.MODULE` as `run` does, in a process that imports everything itself."""
    process = subprocess.run(
        [sys.executable, "-m", f"lynx_pose.{module}", *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"} | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return _checked(process, check)


def _checked(process, check):
    if check:
        assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    return process


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def processes_of(folder):
    """Return the processes that have a file of the folder open or name it in their command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names = [os.readlink(link) for link in (process / "fd").iterdir()]
            names.append((process / "cmdline").read_bytes().decode())
        except OSError:
            continue
        if int(process.name) != os.getpid() and any(str(folder) in name for name in names):
            found.append(int(process.name))
    return found


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def assert_same_result(folder, other):
    assert (folder / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    assert (folder / "predictions.json").read_text() == (other / "predictions.json").read_text()
    first, second = state_of(folder), state_of(other)
    for name, tensor in first["state_dict"].items():
        assert torch.equal(tensor, second["state_dict"][name]), name
    for index, state in first["optimizer_states"][0]["state"].items():
        assert torch.equal(state["exp_avg_sq"], second["optimizer_states"][0]["state"][index]["exp_avg_sq"])


def state_of(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
