"""The folder of one run: what lies where, and how it is written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lynx_pose.errors import InputError


@dataclass(frozen=True)
class RunFolder:
    """Names of the files that a run writes.

    Args:
        path: the folder.
    """

    path: Path
    LAST: ClassVar[str] = "last.ckpt"

    @property
    def config(self) -> Path:
        """The whole composed configuration."""
        return self.path / ".hydra" / "config.yaml"

    @property
    def overrides(self) -> Path:
        """The command line's part of the configuration."""
        return self.path / ".hydra" / "overrides.yaml"

    @property
    def metrics(self) -> Path:
        """One row an epoch."""
        return self.path / "metrics.csv"

    @property
    def summary(self) -> Path:
        """Status, best figures, how and on what it ran."""
        return self.path / "summary.json"

    @property
    def predictions(self) -> Path:
        """The best checkpoint's poses on the validation set, in COCO results format."""
        return self.path / "predictions.json"

    def epoch_predictions(self, epoch: int) -> Path:
        """Poses on the validation set after an epoch, where they were kept."""
        return self.path / "poses" / f"epoch-{epoch:03d}.json"

    @property
    def split(self) -> Path:
        """Ids of the records that train and that validate."""
        return self.path / "split.json"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the highest AP."""
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.path / "checkpoints" / self.LAST

    @property
    def before_last(self) -> Path:
        """The checkpoint of the epoch before, for when the last is damaged."""
        return self.path / "checkpoints" / "before-last.ckpt"

    @property
    def progress(self) -> Path:
        """How far a run is, for who watches it."""
        return self.path / "progress.json"

    def rank_log(self, rank: int) -> Path:
        """What a process other than 0 says."""
        return self.path / f"rank-{rank}.log"

    @property
    def lock(self) -> Path:
        """Held by the process that trains here, as long as it lives."""
        return self.path / ".lock"

    @contextmanager
    def held(self, seconds: float = 10.0) -> Iterator[None]:
        """Hold the run, so that no other process trains in its folder.

        Args:
            seconds: to wait, because the loading processes of one that was killed live a little longer.

        Raises:
            InputError: a living process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            raise InputError(f"{self.path}: is being trained by another process at this moment; wait for it") from None
        try:
            yield
        finally:
            lock.release()

    def is_held(self) -> bool:
        """Whether a living process on this machine, or on one that shares its file locks, trains here."""
        if not self.lock.is_file():
            return False
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def read_config(self) -> DictConfig:
        """Return the run's configuration.

        Raises:
            InputError: the folder is not one that a run wrote.
        """
        if not self.config.is_file():
            raise InputError(f"{self.path}: is not the folder of a run (it has no .hydra/config.yaml)")
        try:
            config = OmegaConf.load(self.config)
        except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
            raise InputError(f"{self.config}: is damaged ({str(error).splitlines()[0]})") from None
        if not isinstance(config, DictConfig) or not all(key in config for key in ("model", "aug", "seed")):
            raise InputError(f"{self.config}: is not the configuration of a run")
        return config

    def read_summary(self) -> dict[str, Any]:
        """Return the summary; a run that has written none yet counts as interrupted."""
        if not self.summary.is_file():
            return {"status": "interrupted"}
        summary = read_json_file(self.summary)
        if not isinstance(summary, dict) or not isinstance(summary.get("status"), str):
            raise InputError(f"{self.summary}: is damaged (it has no status)")
        return summary


def read_json_file(path: Path) -> Any:
    """Read a JSON file that we wrote.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; the run has not got that far") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is damaged ({error})") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader finds either the old content or the new, never half of it."""
    write_text(path, json.dumps(content, indent=2, allow_nan=True))


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, as `write_json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
