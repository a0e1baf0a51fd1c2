"""What a sweep says at its end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException

from lynx_pose.command import plain_message


def raise_failures(folder: Path, returned: Sequence[JobReturn]) -> None:
    """Name the jobs that failed, each with the first line of its error.

    Raises:
        CompactHydraException: some did; Hydra prints its message alone.
    """
    failed = [job for job in returned if job.status != JobStatus.COMPLETED]
    if not failed:
        return
    lines = [f"{len(failed)} of {len(returned)} jobs failed; sweep.resume={folder} runs them again"]
    for job in failed:
        name = Path(job.hydra_cfg.hydra.runtime.output_dir).name if job.hydra_cfg is not None else job.overrides
        lines.append(f"  {name}: {_first_line(job)}")
    raise CompactHydraException("\n".join(lines))


def _first_line(job: JobReturn) -> str:
    error = job._return_value
    return plain_message(error).splitlines()[0] if isinstance(error, BaseException) else "did not end"
