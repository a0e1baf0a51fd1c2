"""The folders of a sweep's jobs: what each holds of its job, and how the job stands."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

log = logging.getLogger(__name__)
RECORD = "job.json"


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job.

    Args:
        path: the folder.
        record_name: the file that says how the job stands.
    """

    path: Path
    record_name: str = RECORD

    @property
    def record(self) -> Path:
        """How the job stands: `status`, `error`, and what else is known."""
        return self.path / self.record_name

    @property
    def lock(self) -> Path:
        """Locked by the process that runs the job, as long as it lives."""
        return self.path / ".lock"

    def read_record(self) -> dict[str, Any]:
        """Return the record; a job that has written none yet, or whose record is damaged, counts as interrupted."""
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            content = None
        return content if isinstance(content, dict) and "status" in content else {"status": "interrupted"}

    def note(self, **content: Any) -> None:
        """Add to the record, which is whole at any moment."""
        known = self.read_record() if self.record.is_file() else {}
        self.path.mkdir(parents=True, exist_ok=True)
        new = self.record.with_name(f"{self.record.name}.{os.getpid()}.tmp")
        with new.open("w", encoding="utf-8") as file:
            json.dump(known | content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.record)

    def is_locked(self) -> bool:
        """Whether a living process on this machine, or on one that shares its file locks, runs the job."""
        if not self.lock.is_file():
            return False
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    @contextmanager
    def locked(self, seconds: float = 10.0) -> Iterator[None]:
        """Keep other processes from running the job.

        Args:
            seconds: to wait, because what a process that was killed had started lives a little longer.

        Raises:
            CompactHydraException: a living process has locked it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.lock, timeout=seconds):
                yield
        except Timeout:
            raise CompactHydraException(f"{self.path}: is run by another process at this moment") from None

    def read_config(self) -> DictConfig:
        """Return the job's configuration as it was composed.

        Raises:
            CompactHydraException: the file is damaged.
        """
        config = _read_yaml(self.path / ".hydra" / "config.yaml")
        # Text that is no YAML of ours is read as keys without values.
        content = OmegaConf.to_container(config, resolve=False) if isinstance(config, DictConfig) else None
        if not isinstance(content, dict) or all(value is None for value in content.values()):
            raise CompactHydraException(f"{self.path}/.hydra/config.yaml: is not the configuration of a job")
        return config

    def read_overrides(self) -> list[str]:
        """Return the overrides that the job was started with.

        Raises:
            CompactHydraException: the file is damaged.
        """
        overrides = _read_yaml(self.path / ".hydra" / "overrides.yaml")
        if not isinstance(overrides, ListConfig):
            raise CompactHydraException(f"{self.path}/.hydra/overrides.yaml: is damaged (it is no list)")
        return [str(override) for override in overrides]


def _read_yaml(path: Path) -> Any:
    try:
        return OmegaConf.load(path)
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise CompactHydraException(f"{path}: is damaged ({str(error).splitlines()[0]})") from None


def job_folders(sweep: Path) -> list[Path]:
    """Return the folders of a sweep's jobs, in the order of their numbers.

    A folder whose configuration is damaged is named and left out, so that it stops no other.
    """
    folders = []
    for config in sweep.glob("*/.hydra/config.yaml"):
        folder = config.parent.parent
        with _left_out_if_damaged():
            JobFolder(folder).read_config()
            folders.append(folder)
    return sorted(folders, key=lambda folder: (job_number(folder.name), folder.name))


def started_jobs(sweep: Path) -> list[tuple[list[str], Path]]:
    """Return the overrides and the folder of each job that has begun; as `job_folders`."""
    jobs = []
    for folder in job_folders(sweep):
        with _left_out_if_damaged():
            jobs.append((JobFolder(folder).read_overrides(), folder))
    return jobs


@contextmanager
def _left_out_if_damaged() -> Iterator[None]:
    try:
        yield
    except CompactHydraException as error:
        log.warning("%s; the job is left out", error)


def job_number(name: str) -> int:
    """Return the number at the beginning of a job's folder name; names without one come last."""
    number = name.split("-")[0]
    return int(number) if number.isdigit() else 10**9
