"""What became of the jobs of a sweep, and what the sweep says at its end."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from lynx_pose.cli import plain_message
from lynx_pose.errors import ProcessError
from lynx_pose.files import write_json
from lynx_pose.sweeps.job import job_folder


def failure_from_summary(config: DictConfig, reason: str) -> JobReturn:
    """Make what Hydra gets for a job whose process ended; its summary may know better than `reason` why."""
    folder = job_folder(config)
    if folder.is_locked():
        # Two people resumed the sweep at once; how the job ends is the other's to say.
        return job_return(config, ProcessError(f"{folder.path}: is being trained by another process"))
    summary = folder.read_summary() if folder.summary.is_file() else {"status": "lost"}
    if summary["status"] in ("failed", "interrupted"):
        return job_return(config, ProcessError(summary.get("error", "was interrupted")))
    return failed_job(config, reason)


def failed_job(config: DictConfig, reason: str) -> JobReturn:
    """Make what Hydra gets for a job that could not say itself how it ended, and put that into its summary."""
    folder = job_folder(config)
    overrides = list(config.hydra.overrides.task)
    earlier = folder.read_summary() if folder.summary.is_file() else {}
    write_json(folder.summary, {"overrides": overrides} | earlier | {"status": "failed", "error": reason})
    return job_return(config, ProcessError(reason))


def job_return(config: DictConfig, error: Exception | None) -> JobReturn:
    """Make what Hydra gets for a job that ended, well or with an error."""
    result = JobReturn()
    result.overrides = list(config.hydra.overrides.task)
    result.hydra_cfg = config
    result.status = JobStatus.FAILED if error else JobStatus.COMPLETED
    # What sweepers of Hydra's that search go by.
    result.return_value = error or job_folder(config).read_summary().get("best", {}).get("AP")
    return result


def raise_failures(folder: Path, results: Sequence[JobReturn]) -> None:
    """Name the jobs that failed, each with the first line of its error.

    Raises:
        CompactHydraException: some did; Hydra prints its message alone.
    """
    failed = [result for result in results if result.status != JobStatus.COMPLETED]
    if not failed:
        return
    lines = [f"{len(failed)} of {len(results)} jobs failed; sweep.resume={folder} runs them again"]
    for result in failed:
        assert result.hydra_cfg is not None, "every launcher gives it"
        error = result._return_value
        reason = plain_message(error).splitlines()[0] if isinstance(error, BaseException) else "did not end"
        lines.append(f"  {job_folder(result.hydra_cfg).path.name}: {reason}")
    raise CompactHydraException("\n".join(lines))
