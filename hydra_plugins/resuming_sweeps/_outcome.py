"""What became of the jobs of a sweep, and what the sweep says at its end."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from hydra_plugins.resuming_sweeps._application import Application
from hydra_plugins.resuming_sweeps._job import job_folder


class JobError(Exception):
    """A job did not come to its end; the message says why."""


def failure_from_record(config: DictConfig, application: Application, reason: str) -> JobReturn:
    """Make what Hydra gets for a job whose process ended; its record may know better than `reason` why."""
    folder = job_folder(config, application)
    if folder.is_locked():
        # Two people resumed the sweep at once; how the job ends is the other's to say.
        return job_return(config, application, JobError(f"{folder.path}: is being run by another process"))
    record = folder.read_record() if folder.record.is_file() else {"status": "lost"}
    if record["status"] in ("failed", "interrupted"):
        return job_return(config, application, JobError(record.get("error") or "was interrupted"))
    return failed_job(config, application, reason)


def failed_job(config: DictConfig, application: Application, reason: str) -> JobReturn:
    """Make what Hydra gets for a job that could not say itself how it ended, and put that into its record."""
    folder = job_folder(config, application)
    known = {} if folder.record.is_file() else {"overrides": list(config.hydra.overrides.task)}
    folder.note(**known, status="failed", error=reason)
    return job_return(config, application, JobError(reason))


def job_return(config: DictConfig, application: Application, error: Exception | None) -> JobReturn:
    """Make what Hydra gets for a job that ended, well or with an error."""
    result = JobReturn()
    result.overrides = list(config.hydra.overrides.task)
    result.hydra_cfg = config
    result.status = JobStatus.FAILED if error else JobStatus.COMPLETED
    # What sweepers of Hydra's that search go by.
    result.return_value = error or application.return_value(job_folder(config, application).read_record())
    return result


def raise_failures(folder: Path, results: Sequence[JobReturn], application: Application) -> None:
    """Name the jobs that failed, each with the first line of its error.

    Raises:
        CompactHydraException: some did; Hydra prints its message alone.
    """
    failed = [result for result in results if result.status != JobStatus.COMPLETED]
    if not failed:
        return
    lines = [f"{len(failed)} of {len(results)} jobs failed; {application.resume_options(folder)} runs them again"]
    for result in failed:
        assert result.hydra_cfg is not None, "every launcher gives it"
        error = result._return_value
        reason = str(error).strip() or type(error).__name__ if isinstance(error, BaseException) else "did not end"
        lines.append(f"  {job_folder(result.hydra_cfg, application).path.name}: {reason.splitlines()[0]}")
    raise CompactHydraException("\n".join(lines))
