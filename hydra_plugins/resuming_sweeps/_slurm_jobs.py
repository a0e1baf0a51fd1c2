"""Waits for SLURM jobs of a sweep and says what became of them."""

import logging
import subprocess
import time
from collections.abc import Sequence

from hydra.core.utils import JobReturn
from omegaconf import DictConfig
from submitit import Job

from hydra_plugins.resuming_sweeps._application import Application
from hydra_plugins.resuming_sweeps._job import job_folder, note_end
from hydra_plugins.resuming_sweeps._outcome import failed_job, failure_from_record

log = logging.getLogger(__name__)
# Seconds between looks at the queue.
INTERVAL = 3.0
# Seconds after which a job that has left the queue without a result will not come back: one that is requeued, or
# whose result is still on its way through a shared file system, is missing for a moment.
LOST_AFTER = 120.0


def await_jobs(
    jobs: Sequence[Job[JobReturn]], configs: Sequence[DictConfig], application: Application
) -> list[JobReturn]:
    """Wait until all jobs are done or have left the queue, and return what became of each, in their order.

    Args:
        jobs: as submitted.
        configs: of each.
        application: whose jobs they are.
    """
    for job, config in zip(jobs, configs, strict=True):
        log.info(
            "%s: SLURM job %s, logs in %s", job_folder(config, application).path.name, job.job_id, job.paths.folder
        )
    last_seen = {job.job_id: time.monotonic() for job in jobs}
    while any(
        not job.paths.result_pickle.exists() and time.monotonic() - last_seen[job.job_id] < LOST_AFTER for job in jobs
    ):
        time.sleep(INTERVAL)
        queued = queued_jobs()
        last_seen |= {job_id: time.monotonic() for job_id in last_seen if queued is None or job_id in queued}
    return [_job_return(job, config, application) for job, config in zip(jobs, configs, strict=True)]


def queued_jobs() -> set[str] | None:
    """Return the ids of this user's jobs that wait or run; None where SLURM does not answer at this moment."""
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(answer.stdout.split()) if answer.returncode == 0 else None


def _job_return(job: Job[JobReturn], config: DictConfig, application: Application) -> JobReturn:
    """Read the result of a job's first task, or make one that says how the job was lost."""
    if job.paths.result_pickle.exists():
        try:
            result: JobReturn = job.task(0).result()
        except Exception as error:  # submitit passes on whatever ended the job
            return failed_job(config, application, str(error))
        if application.record is None:
            note_end(job_folder(config, application), result)
        return result
    return failure_from_record(config, application, f"SLURM job {job.job_id} ended without a result; was it cancelled?")
