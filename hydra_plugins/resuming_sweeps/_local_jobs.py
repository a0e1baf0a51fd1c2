"""Runs jobs of a sweep side by side, each in processes of its own, and sees that each ends."""

import logging
import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess

import cloudpickle
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps._application import Application, MachineShare
from hydra_plugins.resuming_sweeps._job import job_folder, run_job_process
from hydra_plugins.resuming_sweeps._job_folder import JobFolder
from hydra_plugins.resuming_sweeps._outcome import JobError, failed_job, failure_from_record, job_return
from hydra_plugins.resuming_sweeps.processes import describe_exit

log = logging.getLogger(__name__)
# Seconds that a job has for noting that it ends before it is killed.
GRACE = 20.0


@dataclass(frozen=True)
class Limits:
    """What ends or repeats a job.

    Args:
        timeout: seconds that a job may take; None sets no limit.
        retries: how often a job is started again that was killed or took too long.
        fail_fast: whether the first job that fails ends the sweep.
    """

    timeout: float | None = None
    retries: int = 0
    fail_fast: bool = False

    @classmethod
    def of(cls, config: DictConfig) -> "Limits":
        """Read them from a job's configuration."""
        launcher = config.hydra.launcher
        return cls(launcher.get("timeout"), launcher.get("retries", 0), launcher.get("fail_fast", False))


@dataclass
class Job:
    """One job of a sweep, which runs in `process` and its descendants, a session of their own."""

    index: int
    config: DictConfig
    folder: JobFolder
    share: MachineShare
    process: ForkServerProcess
    limits: Limits
    deadline: float
    stop_reason: str | None = None

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


class LocalJobs:
    """Runs the jobs of a sweep on this machine.

    Args:
        application: whose jobs they are.
        hydra_context: Hydra's.
        task_function: what a job does with its configuration.
    """

    def __init__(self, application: Application, hydra_context: HydraContext, task_function: TaskFunction):
        self.application = application
        self.hydra_context = hydra_context
        self._task = cloudpickle.dumps(task_function)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(application.preload))
        # It imports for seconds, in which the jobs can be composed.
        forkserver.ensure_running()

    def run(self, configs: Sequence[DictConfig], at_once: int) -> list[JobReturn]:
        """Run jobs, `at_once` at a time, and return what became of each, in their order."""
        waiting = deque(enumerate(configs))
        free = deque(MachineShare(index, at_once) for index in range(at_once))
        running: list[Job] = []
        results: dict[int, JobReturn] = {}
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        attempts: Counter[int] = Counter()
        option = self.application.launcher_options
        try:
            while waiting or running:
                while waiting and free:
                    index, config = waiting.popleft()
                    running.append(self._start(index, config, free.popleft()))
                failed = None
                for job in self._ended(running):
                    running.remove(job)
                    free.append(job.share)
                    results[job.index], curable = self._settle(job)
                    if results[job.index].status == JobStatus.COMPLETED:
                        continue
                    if curable and attempts[job.index] < job.limits.retries:
                        attempts[job.index] += 1
                        log.warning("%s: is started again, from its last checkpoint", job.folder.path.name)
                        waiting.append((job.index, self.application.continued(job.config, job.folder.path)))
                    elif job.limits.fail_fast:
                        failed = job
                if failed:
                    log.warning("%s failed; the others are stopped (%s.fail_fast)", failed.folder.path.name, option)
                    results |= {index: self._not_ended(config, "was not started") for index, config in waiting}
                    results |= {other.index: self._stopped(other) for other in running}
                    waiting.clear()
                    running.clear()
        finally:
            for job in running:
                job.process.terminate()
            for job in running:
                job.stop()
            signal.signal(signal.SIGTERM, before)
        return [results[index] for index in range(len(configs))]

    def _start(self, index: int, config: DictConfig, share: MachineShare) -> Job:
        folder = job_folder(config, self.application)
        arguments = (config, self.hydra_context.callbacks, share, self.application, self._task)
        process = self._context.Process(target=run_job_process, args=arguments)
        log.info("%s: %s", folder.path.name, " ".join(config.hydra.overrides.task))
        process.start()
        limits = Limits.of(config)
        timeout = float("inf") if limits.timeout is None else limits.timeout
        return Job(index, config, folder, share, process, limits, time.monotonic() + timeout)

    def _ended(self, running: Sequence[Job]) -> list[Job]:
        """Wait until a job ends, or its time; return those that have ended."""
        soonest = min(job.deadline for job in running) - time.monotonic()
        wait([job.process.sentinel for job in running], None if soonest == float("inf") else max(0.0, soonest))
        for job in running:
            if job.process.is_alive() and time.monotonic() >= job.deadline:
                option = f"{self.application.launcher_options}.timeout={job.limits.timeout}"
                job.stop_reason = f"took longer than {option} seconds and was stopped"
                job.stop()
        return [job for job in running if not job.process.is_alive()]

    def _settle(self, job: Job) -> tuple[JobReturn, bool]:
        """Leave no process of the job behind, and say how it ended where it could not do so itself.

        Returns:
            how it ended, and whether another attempt may end better: it was killed, or its time was over.
        """
        job.kill()
        code = job.process.exitcode
        if job.stop_reason:
            return failed_job(job.config, self.application, job.stop_reason), True
        if code == 0:
            return job_return(job.config, self.application, None), False
        curable = not job.folder.record.is_file() or job.folder.read_record()["status"] != "failed"
        ended = failure_from_record(job.config, self.application, describe_exit(code))
        return ended, curable and not job.folder.is_locked()

    def _stopped(self, job: Job) -> JobReturn:
        """Stop a job because another failed; it notes itself that it was interrupted."""
        job.stop()
        return self._not_ended(job.config, "was stopped")

    def _not_ended(self, config: DictConfig, what: str) -> JobReturn:
        reason = f"{what}, because another failed ({self.application.launcher_options}.fail_fast)"
        return job_return(config, self.application, JobError(reason))
