"""Which files of the image cache are in use by processes that live."""

import json
import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout


class CacheUse:
    """Notes what this process uses, and tells what all do, so that none deletes what another reads.

    Each user has a list of names and a lock, which its end releases whatever ended it.

    Args:
        folder: of the cache.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "in-use"
        self._own = self.folder / f"{os.getpid()}-{uuid.uuid4().hex}.json"
        self._lock: FileLock | None = None
        self._names: set[str] = set()

    def note(self, paths: Iterable[Path]) -> None:
        """Add files to those that this process uses, until it ends."""
        self._names |= {path.name for path in paths}
        # Of those that have ended nothing is left.
        self.of_all()
        # In a cache that may only be read nothing is deleted either.
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = FileLock(_lock_of(self._own))
                self._lock.acquire()
            # Another that reads half of it would think too little in use: a name of its own, then moved.
            draft = self._own.with_suffix(".draft")
            draft.write_text(json.dumps(sorted(self._names)), encoding="utf-8")
            draft.replace(self._own)

    def of_all(self) -> set[str]:
        """Return the names of the files in use; lists of processes that have ended are deleted."""
        names = set(self._names)
        for path in self.folder.glob("*.json"):
            with suppress(OSError, ValueError):
                if path == self._own or not _has_ended(path):
                    names |= set(json.loads(path.read_text(encoding="utf-8")))
        return names


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def _has_ended(path: Path) -> bool:
    """Whether no process holds the lock of a list; if so, both are deleted."""
    lock = FileLock(_lock_of(path))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    path.unlink(missing_ok=True)
    lock.release()
    _lock_of(path).unlink(missing_ok=True)
    return True
