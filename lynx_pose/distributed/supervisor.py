"""Supervises the processes of one run: how many there are, who started them, starting them where nobody did."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from typing_extensions import override

from hydra_plugins.resuming_sweeps.processes import describe_exit, die_with_parent, redirect_output
from lynx_pose.cli import plain_message
from lynx_pose.distributed.signals import ignore_termination_signals
from lynx_pose.errors import InputError, ProcessError
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)
# Seconds that a process has for ending by itself before it is killed.
GRACE = 20.0
# Seconds in which the others fail when the first of them does.
FAILING_TOGETHER = 3.0


class LocalEnvironment(LightningEnvironment):
    """Tells Lightning of processes on this machine that we started ourselves.

    Lightning would start them by running the command line again, which in a sweep starts the sweep again.

    Args:
        rank: of this process.
        port: on which rank 0 listens; None finds a free one.
    """

    def __init__(self, rank: int = 0, port: int | None = None):
        super().__init__()
        self.rank = rank
        self.port = port or find_free_network_port()

    @property
    def creates_processes_externally(self) -> bool:
        """Whether Lightning has none to start."""
        return True

    @property
    def main_port(self) -> int:
        """On which rank 0 listens."""
        return self.port

    @override
    def local_rank(self) -> int:
        return self.rank


def external_environment() -> ClusterEnvironment | None:
    """Return what torchrun or SLURM says of this process; None where neither started it."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    # Without a step, SLURM gave us a machine but srun did not start us.
    if "SLURM_STEP_ID" in os.environ and SLURMEnvironment.detect():
        return SLURMEnvironment(auto_requeue=False)
    return None


def external_devices(environment: ClusterEnvironment) -> dict[str, int]:
    """Return the Trainer's `devices` and `num_nodes` where torchrun or SLURM has settled them."""
    if isinstance(environment, TorchElasticEnvironment):
        local = int(os.environ["LOCAL_WORLD_SIZE"])
    elif isinstance(environment, SLURMEnvironment):
        local = environment.world_size() // int(os.environ["SLURM_NNODES"])
    else:
        return {}
    return {"devices": local, "num_nodes": environment.world_size() // local}


def num_local_processes(trainer: DictConfig) -> int:
    """Return how many processes `trainer.devices` asks for on this machine.

    Raises:
        InputError: `trainer.devices` is no number of devices.
    """
    devices = trainer.devices
    if isinstance(devices, ListConfig):
        return len(devices)
    if str(devices) in ("auto", "-1"):
        return max(1, torch.cuda.device_count()) if trainer.accelerator != "cpu" else 1
    if str(devices).isdigit() and int(devices) > 0:
        return int(devices)
    raise InputError(f"trainer.devices={devices}: must be a number of devices, a list of them, or auto")


class Workers:
    """The other processes of a run, as rank 0 supervises them: when one of them fails, this one stops and says so."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self._failed = threading.Event()
        self._leaving = threading.Event()

    def _fail(self, reason: str) -> None:
        """Stop this process, called in a thread of its own: without the other, its next step never ends."""
        self.failure = reason
        self._failed.set()
        if self._leaving.is_set():
            return
        os.kill(os.getpid(), signal.SIGTERM)
        if not self._leaving.wait(GRACE):
            log.error("%s; this process waits for it in vain and is killed", reason)
            os.kill(os.getpid(), signal.SIGKILL)

    def _leave(self, error: BaseException | None) -> None:
        """Begin to end; after an error give the others time to say theirs: here only a connection may be lost."""
        self._leaving.set()
        try:
            if isinstance(error, Exception):
                self._failed.wait(FAILING_TOGETHER)
        except KeyboardInterrupt:
            # Of `_fail`, which came together with the error; a person's goes its way.
            if self.failure is None:
                raise

    def _raise_failure(self, error: BaseException | None) -> None:
        if self.failure is not None and not isinstance(error, InputError):
            raise ProcessError(self.failure) from error


class SpawnedWorkers(Workers):
    """Ranks 1, 2, … of a run whose rank 0 is this process; a context that starts them and ends with all of them.

    Args:
        count: how many processes the run has, with this one.
        port: on which this one listens.
        work: what each worker calls with its environment and `arguments`; it must be picklable.
        arguments: picklable.
        folder: of the run, for the workers' logs `rank-N.log`.
    """

    def __init__(self, count: int, port: int, work: Callable[..., Any], arguments: tuple[Any, ...], folder: RunFolder):
        super().__init__()
        context = multiprocessing.get_context("spawn")
        self._processes = []
        self._messages = []
        for rank in range(1, count):
            ours, theirs = context.Pipe(duplex=False)
            environment = LocalEnvironment(rank, port)
            process = context.Process(target=_work, args=(environment, work, arguments, folder.rank_log(rank), theirs))
            self._messages.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        if self._processes:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._processes:
            self._leave(error)
        for process in self._processes:
            if error is None:
                process.join(GRACE)
            process.kill()
            process.join()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        self._raise_failure(error)

    def _watch(self) -> None:
        alive = dict(enumerate(self._processes))
        while alive:
            wait([process.sentinel for process in alive.values()])
            for index, process in [(i, p) for i, p in alive.items() if not p.is_alive()]:
                del alive[index]
                if process.exitcode and self.failure is None:
                    self._fail(self._reason(index))

    def _reason(self, index: int) -> str:
        try:
            message = self._messages[index].recv() if self._messages[index].poll() else None
        except EOFError:
            message = None
        reason = message or describe_exit(self._processes[index].exitcode)
        return f"process {index + 1} of the run: {reason} (rank-{index + 1}.log says more)"


def _work(
    environment: LocalEnvironment,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    log_file: Path,
    failure: Connection,
) -> None:
    """Be a worker: log into a file of one's own, and end when rank 0 does."""
    ignore_termination_signals()
    die_with_parent(signal.SIGKILL)
    log_to_file(log_file)
    try:
        work(environment, *arguments)
    except BaseException as error:  # rank 0 has to hear of any, of an exit too
        log.exception("process %d failed", environment.rank)
        failure.send(plain_message(error).splitlines()[0])
        sys.exit(1)


def log_to_file(path: Path) -> None:
    """Send all that this process says to the end of a file."""
    redirect_output(path)
    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] %(message)s", force=True)
