"""Reading and writing files so that a crash, a kill or a full disk never leaves half of one."""

import hashlib
import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from lynx_pose.errors import InputError

log = logging.getLogger(__name__)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield the name of a draft beside `path`; what is written there takes its place when all of it is on the disk.

    The draft keeps the file's ending, by which some writers choose their format. After an error it is deleted, and
    what `path` held before stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of a long name the end alone: the file system has a limit.
    draft = path.with_name(f".draft-{os.getpid()}-{threading.get_ident()}-{path.name[-40:]}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file for writing, `w` as text or `wb`, that takes its place as `atomic_path` says."""
    # Names of files need not be UTF-8; they are written as they are.
    options = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    text: dict[str, str] = {} if "b" in mode else options
    with atomic_path(path) as draft, draft.open(mode, **text) as file:  # type: ignore[call-overload]  # mode is no literal
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    with atomic_write(path) as file:
        file.write(text)


def write_json(path: Path, content: Any) -> None:
    """Write JSON in one step; numbers that JSON does not know, NaN and infinities, become null."""
    write_text(path, json.dumps(_finite(content), indent=2, allow_nan=False))


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_json(path: Path) -> Any:
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


def fingerprint(files: Sequence[Path]) -> str:
    """Return a short hash of the content of files: equal content, equal fingerprint."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class RetriedWrites:
    """Writes files of a run; what cannot be written now, as on a full disk, is tried again with the next ones."""

    def __init__(self) -> None:
        self._pending: dict[Path, Callable[[], None]] = {}

    def add(self, path: Path, content: Any) -> None:
        """Plan to write text as it is, and anything else as JSON."""
        write = write_text if isinstance(content, str) else write_json
        self._pending[path] = lambda: write(path, content)

    def flush(self, when: str) -> None:
        """Write all that is planned; `when` names the moment in the message of what failed."""
        try:
            for path in list(self._pending):
                self._pending[path]()
                del self._pending[path]
        except OSError as error:
            log.error("%s could not be written (%s); training goes on", when, error)
