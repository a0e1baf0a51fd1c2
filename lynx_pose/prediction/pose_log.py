"""What prediction has found so far: a line an image, so that it can stop at any moment and go on later."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from lynx_pose.errors import InputError
from lynx_pose.files import read_json, write_json


@dataclass(frozen=True)
class AnimalPose:
    """One animal's pose.

    Args:
        box: x, y, width, height in image pixels.
        keypoints: K times x, y in image pixels and the confidence.
        score: of the pose.
        crop_pixel: image pixels along the side of a pixel that the network saw.
        box_score: the detector's confidence, where known.
        ids: names of the animal's record elsewhere.
        track: the animal's number in its video, the same in all frames; None in images.
    """

    box: list[float]
    keypoints: list[list[float]]
    score: float
    crop_pixel: float
    box_score: float | None = None
    ids: dict[str, str] = field(default_factory=dict)
    track: int | None = None


@dataclass(frozen=True)
class ImagePoses:
    """What was found in one file.

    Args:
        name: of the image or video, relative to the folder of all.
        width: in pixels.
        height: in pixels.
        frames: the animals of each frame; an image has one.
        fps: frames a second; None for an image.
        problems: what could not be used, in words.
    """

    name: str
    width: int = 0
    height: int = 0
    frames: list[list[AnimalPose]] = field(default_factory=list)
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
        frames = [[AnimalPose(**animal) for animal in animals] for animals in content.pop("frames")]
        return cls(frames=frames, **content)


class PoseLog:
    """The folder that poses are written to, locked by one process at a time.

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
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / ".lock")
            self._lock.acquire(timeout=0)
            self._require_same_settings(folder / "settings.json", settings)
            self._offsets: dict[str, int] = {}
            self._done: set[str] = set()
            self._index()
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
        kept = f"{len(self._done)} files are done and kept, and the same command goes on there"
        if isinstance(error, OSError):
            raise InputError(f"{error.filename or self.folder}: cannot be written ({error.strerror}); {kept}") from None
        if isinstance(error, KeyboardInterrupt):
            raise InputError(f"stopped; {kept}") from None

    def _require_same_settings(self, path: Path, settings: dict[str, Any]) -> None:
        if not path.exists():
            if others := sorted(other.name for other in self.folder.iterdir() if other.name != ".lock"):
                raise InputError(
                    f"output={self.folder}: holds other files ({', '.join(others[:3])}); choose a new folder, so that "
                    "nothing is overwritten"
                )
            write_json(path, settings)
        earlier = read_json(path)
        if differing := [key for key in settings if earlier.get(key) != settings[key]]:
            raise InputError(
                f"output={self.folder}: holds poses by another {', '.join(differing)}; choose another output, or "
                "repeat the command that wrote it to go on"
            )

    def _index(self) -> None:
        """Note where each file's last line begins, and cut off a line that was not written to its end."""
        self.path.touch()
        with self.path.open("r+b") as file:
            start = 0
            for line in iter(file.readline, b""):
                if not line.endswith(b"\n"):
                    file.truncate(start)
                    return
                self._note(self._parse(line), start)
                start += len(line)

    def _note(self, poses: ImagePoses, offset: int) -> None:
        self._offsets[poses.name] = offset
        if poses.is_read:
            self._done.add(poses.name)

    def _parse(self, line: bytes) -> ImagePoses:
        try:
            return ImagePoses.from_json(line.decode(errors="surrogateescape"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{self.path}: is damaged ({error}); choose another output") from None

    def is_done(self, name: str) -> bool:
        """Whether a file has been read before; those that could not be read are tried again."""
        return name in self._done

    def add(self, poses: ImagePoses) -> None:
        """Write down what was found in a file.

        Raises:
            InputError: it cannot be written; what was written before is kept.
        """
        offset = self._file.tell()
        rest = memoryview(poses.to_json().encode(errors="surrogateescape") + b"\n")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror}) after {len(self._done)} files, which are kept. "
                "Make room, and repeat the command to go on"
            ) from None
        self._note(poses, offset)

    def __iter__(self) -> Iterator[ImagePoses]:
        """Yield what was found in each file, one at a time, in the order of their names."""
        for name in sorted(self._offsets):
            with self.path.open("rb") as file:
                file.seek(self._offsets[name])
                yield self._parse(file.readline())

    def __len__(self) -> int:
        return len(self._offsets)
