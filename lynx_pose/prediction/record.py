"""What prediction has found so far: a line a photograph, so that it can stop at any moment and go on later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from lynx_pose.errors import InputError
from lynx_pose.run_folder import read_json_file, write_json


@dataclass(frozen=True)
class Animal:
    """One animal's pose.

    Args:
        box: x, y, width, height in image pixels.
        keypoints: K times x, y in image pixels and the confidence.
        score: of the pose.
        crop_pixel: image pixels along the side of a pixel that the network saw.
        box_score: the detector's confidence, where known.
        ids: names of the animal's record elsewhere.
    """

    box: list[float]
    keypoints: list[list[float]]
    score: float
    crop_pixel: float
    box_score: float | None = None
    ids: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What was found in one file.

    Args:
        name: of the photograph or video, relative to the folder of all.
        width: in pixels.
        height: in pixels.
        frames: the animals of each frame; a photograph has one.
        fps: frames a second; None for a photograph.
        problems: what could not be used, in words.
    """

    name: str
    width: int = 0
    height: int = 0
    frames: list[list[Animal]] = field(default_factory=list)
    fps: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def is_read(self) -> bool:
        """Whether the file could be read at all."""
        return bool(self.frames)

    def to_json(self) -> str:
        """Return it as a line."""
        return json.dumps(self, default=vars, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read it from a line."""
        content = json.loads(line)
        frames = [[Animal(**animal) for animal in animals] for animals in content.pop("frames")]
        return cls(frames=frames, **content)


class Record:
    """The folder that poses are written to, held by one process at a time.

    Args:
        folder: which is made if need be.
        settings: that the poses depend on; another call with the same settings goes on where this one stopped.

    Raises:
        InputError: the folder holds poses by other settings, or other files; it cannot be written to; or another
            process is at work in it.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self.folder = folder
        self.path = folder / "poses.jsonl"
        self._settings = folder / "settings.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
            self._require_own(settings)
            self._places: dict[str, int] = {}
            self._read: set[str] = set()
            self._mend()
            self._file = self.path.open("ab", buffering=0)
        except Timeout:
            raise InputError(f"output={folder}: another process is writing to it at this moment; wait for it") from None
        except OSError as error:
            raise InputError(f"output={folder}: cannot be written to ({error.strerror}); choose another") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()
        self._lock.release()
        kept = f"{len(self._read)} files are done and kept, and the same command goes on there"
        if isinstance(error, OSError):
            raise InputError(f"{error.filename or self.folder}: cannot be written ({error.strerror}); {kept}") from None
        if isinstance(error, KeyboardInterrupt):
            raise InputError(f"stopped; {kept}") from None

    def _require_own(self, settings: dict[str, Any]) -> None:
        if not self._settings.exists():
            if others := sorted(path.name for path in self.folder.iterdir() if path.name != ".lock"):
                raise InputError(
                    f"output={self.folder}: holds other files ({', '.join(others[:3])}); choose a new folder, so that "
                    "nothing is overwritten"
                )
            write_json(self._settings, settings)
        earlier = read_json_file(self._settings)
        if differing := [key for key in settings if earlier.get(key) != settings[key]]:
            raise InputError(
                f"output={self.folder}: holds poses by another {', '.join(differing)}; choose another output, or "
                "repeat the command that wrote it to go on"
            )

    def _mend(self) -> None:
        """Cut off a line that was not written to its end, and note where each photograph's last line begins."""
        self.path.touch()
        with self.path.open("r+b") as file:
            start = 0
            for line in iter(file.readline, b""):
                if not line.endswith(b"\n"):
                    file.truncate(start)
                    return
                self._note(self._parsed(line), start)
                start += len(line)

    def _note(self, found: Found, start: int) -> None:
        self._places[found.name] = start
        if found.is_read:
            self._read.add(found.name)

    def _parsed(self, line: bytes) -> Found:
        try:
            return Found.from_json(line.decode())
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{self.path}: is damaged ({error}); choose another output") from None

    def is_done(self, name: str) -> bool:
        """Whether a file has been read before; those that could not be read are tried again."""
        return name in self._read

    def add(self, found: Found) -> None:
        """Write down what was found in a file.

        Raises:
            InputError: it cannot be written; what was written before is kept.
        """
        start = self._file.tell()
        rest = memoryview(found.to_json().encode() + b"\n")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror}) after {len(self._read)} files, which are kept. "
                "Make room, and repeat the command to go on"
            ) from None
        self._note(found, start)

    def __iter__(self) -> Iterator[Found]:
        """Yield what was found in each file, one at a time, in the order of their names."""
        return map(self._at, sorted(self._places))

    def __len__(self) -> int:
        return len(self._places)

    def _at(self, name: str) -> Found:
        with self.path.open("rb") as file:
            file.seek(self._places[name])
            return self._parsed(file.readline())
