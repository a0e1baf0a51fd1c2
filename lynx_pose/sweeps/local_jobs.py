"""Runs jobs of a sweep side by side, each in processes of its own, and sees that each ends."""

import logging
import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, read_write

from lynx_pose.errors import ProcessError, describe_exit
from lynx_pose.machine import MachineShare, jobs_at_once
from lynx_pose.sweeps.job import job_folder, run_job_process
from lynx_pose.sweeps.outcome import failed_job, failure_from_summary, job_return
from lynx_pose.training.run_folder import RunFolder

log = logging.getLogger(__name__)
# Seconds that a job has for noting that it ends before it is killed.
GRACE = 20.0
# What each job's process begins with; imported once for all of them.
PRELOADED = ["lynx_pose.training.run"]


@dataclass
class Job:
    """One job of a sweep, which runs in `process` and its descendants, a session of their own."""

    index: int
    config: DictConfig
    folder: RunFolder
    share: MachineShare
    process: ForkServerProcess
    started: float = field(default_factory=time.monotonic)
    stop_reason: str | None = None

    @property
    def deadline(self) -> float:
        """When its time is over, on the monotonic clock."""
        timeout = self.config.sweep.timeout
        return self.started + timeout if timeout is not None else float("inf")

    def stop(self) -> None:
        """End it and all that it started: at first kindly, then not."""
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(GRACE)
        self.kill()

    def kill(self) -> None:
        """Kill what is left of it."""
        assert self.process.pid is not None, "it was started"
        # Nothing of it may be left.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        # In its first moments it is not yet the head of a session.
        self.process.kill()
        self.process.join()


def jobs_for_machine(configs: Sequence[DictConfig]) -> int:
    """Return how many of a sweep's jobs the machine carries at once, and say so."""
    import torch

    from lynx_pose.distributed.supervisor import num_local_processes

    gpus = 0 if all(config.trainer.accelerator == "cpu" for config in configs) else torch.cuda.device_count()
    processes = max(num_local_processes(config.trainer) for config in configs)
    count = jobs_at_once(len(configs), processes, gpus)
    if count > 1:
        log.info("%d jobs at once (hydra.launcher.jobs=); what each says is in its output.txt", count)
    return count


def run_jobs(configs: Sequence[DictConfig], callbacks: Callbacks, at_once: int) -> list[JobReturn]:
    """Run jobs, `at_once` at a time, and return what became of each, in their order."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    waiting = deque(enumerate(configs))
    free = deque(MachineShare(index, at_once) for index in range(at_once))
    running: list[Job] = []
    results: dict[int, JobReturn] = {}
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    attempts: Counter[int] = Counter()
    try:
        while waiting or running:
            while waiting and free:
                index, config = waiting.popleft()
                running.append(_start(context, index, config, free.popleft(), callbacks))
            for job in _ended(running):
                running.remove(job)
                free.append(job.share)
                results[job.index], curable = _settle(job)
                failed = results[job.index].status != JobStatus.COMPLETED
                if failed and curable and attempts[job.index] < job.config.sweep.retries:
                    attempts[job.index] += 1
                    log.warning("%s: is started again, from its last checkpoint", job.folder.path.name)
                    waiting.append((job.index, _continued(job)))
                elif failed and job.config.sweep.fail_fast:
                    log.warning("%s failed; the others are stopped (sweep.fail_fast)", job.folder.path.name)
                    results |= {index: _not_run(config) for index, config in waiting}
                    results |= {other.index: _stopped(other) for other in running}
                    waiting.clear()
                    running.clear()
    finally:
        for job in running:
            job.process.terminate()
        for job in running:
            job.stop()
        signal.signal(signal.SIGTERM, before)
    return [results[index] for index in range(len(configs))]


def _start(context: Any, index: int, config: DictConfig, share: MachineShare, callbacks: Callbacks) -> Job:
    folder = job_folder(config)
    process = context.Process(target=run_job_process, args=(config, callbacks, share, folder.path))
    log.info("%s: %s", folder.path.name, " ".join(config.hydra.overrides.task))
    process.start()
    return Job(index, config, folder, share, process)


def _ended(running: Sequence[Job]) -> list[Job]:
    """Wait until a job ends, or its time; return those that have ended."""
    soonest = min(job.deadline for job in running) - time.monotonic()
    wait([job.process.sentinel for job in running], None if soonest == float("inf") else max(0.0, soonest))
    for job in running:
        if job.process.is_alive() and time.monotonic() >= job.deadline:
            job.stop_reason = f"took longer than sweep.timeout={job.config.sweep.timeout} seconds and was stopped"
            job.stop()
    return [job for job in running if not job.process.is_alive()]


def _settle(job: Job) -> tuple[JobReturn, bool]:
    """Leave no process of the job behind, and say how it ended where it could not do so itself.

    Returns:
        how it ended, and whether another attempt may end better: it was killed, or its time was over.
    """
    job.kill()
    code = job.process.exitcode
    if job.stop_reason:
        return failed_job(job.config, job.stop_reason), True
    if code == 0:
        return job_return(job.config, None), False
    curable = not job.folder.summary.is_file() or job.folder.read_summary()["status"] != "failed"
    return failure_from_summary(job.config, describe_exit(code)), curable and not job.folder.is_locked()


def _continued(job: Job) -> DictConfig:
    """Return the configuration of another attempt in the same folder."""
    config = job.config.copy()
    with read_write(config):
        config.sweep.resume = str(job.folder.path.parent)
    return config


def _stopped(job: Job) -> JobReturn:
    """Stop a job because another failed; it notes itself that it was interrupted."""
    job.stop()
    return job_return(job.config, ProcessError("was stopped, because another failed (sweep.fail_fast)"))


def _not_run(config: DictConfig) -> JobReturn:
    return job_return(config, ProcessError("was not started, because another failed (sweep.fail_fast)"))
