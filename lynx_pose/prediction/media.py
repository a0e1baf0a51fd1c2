"""Which images and videos to look at: a file, a folder, a pattern, or a list of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from lynx_pose.errors import InputError

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
VIDEOS = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm"})


@dataclass(frozen=True)
class Media:
    """Images and videos.

    Args:
        folder: that all of them lie under.
        names: of the files, relative to the folder, with forward slashes.
    """

    folder: Path
    names: Sequence[str]

    def path(self, name: str) -> Path:
        """Return where a file lies."""
        return self.folder / name

    @staticmethod
    def drawing(folder: Path, name: str) -> Path:
        """Return where in a folder the drawing of a file lies: a JPEG or MP4 file, another for each name.

        Raises:
            InputError: the name leads out of the folder.
        """
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise InputError(f"{name}: leads out of the folder of the drawings")
        endings = (".mp4",) if is_video(name) else (".jpg", ".jpeg")
        path = folder / name
        # a.png becomes a.png.jpg, so a.png.jpg has to become another.
        if path.suffix.lower() in endings and not _is_media(Path(path.stem)):
            return path
        return path.with_name(f"{path.name}{endings[0]}")


def is_video(name: str) -> bool:
    """Whether a file is a video, by the end of its name."""
    return Path(name).suffix.lower() in VIDEOS


def find_media(given: str | Sequence[str]) -> Media:
    """Find images and videos.

    Args:
        given: a file; a folder, searched with all its subfolders; a pattern such as `traps/**/*.jpg`; a text file
            with a name a line, relative to its own folder; or several of these.

    Raises:
        InputError: something is not there, or nothing that is found is an image or a video.
    """
    several = [given] if isinstance(given, str) else list(given)
    found = [path for one in several for path in _files(os.path.expanduser(one))]
    paths = list(dict.fromkeys(found))
    if not paths:
        raise InputError(f"images={given}: no image or video is there ({', '.join(sorted(IMAGES | VIDEOS))})")
    if len(several) == 1 and Path(several[0]).expanduser().is_dir():
        folder = _absolute(Path(several[0]).expanduser())
    else:
        folder = Path(os.path.commonpath([path.parent for path in paths]))
    return Media(folder, [path.relative_to(folder).as_posix() for path in paths])


def _absolute(path: Path) -> Path:
    """Return a path from the root without `..`, which in a name would lead out of whatever folder it is put into."""
    if path.name == "..":
        return path.resolve()
    return path.parent.resolve() / path.name if ".." in path.parts else path.absolute()


def _files(given: str) -> list[Path]:
    path = _absolute(Path(given))
    if path.is_dir():
        return sorted(found for found in path.rglob("*") if _is_media(found) and found.is_file())
    if path.is_file():
        return _listed(path) if path.suffix == ".txt" else [path]
    if has_magic(given):
        return sorted(_absolute(found) for found in map(Path, glob(given, recursive=True)) if _is_media(found))
    raise InputError(f"images={given}: there is no such file or folder")


def _listed(path: Path) -> list[Path]:
    """Return the files of a list; they are opened later, and reported if they are not there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a list of files, a name a line ({error})") from None
    return [_absolute(path.parent / line.strip()) for line in lines if line.strip()]


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in IMAGES | VIDEOS
