"""What a Camtrap DP package says of its images (https://camtrap-dp.tdwg.org/data/): where, when, and who."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Self

from lynx_pose.errors import InputError
from lynx_pose.formats.parsing import read_table

NEEDED = {
    "deployments.csv": ("deploymentID",),
    "media.csv": ("mediaID", "deploymentID", "timestamp", "filePath"),
    "observations.csv": ("deploymentID", "eventID"),
}
Row = dict[str, str]
Known = Mapping[str, str]


@dataclass(frozen=True)
class CamtrapPackage:
    """What is known of the images of a package.

    Args:
        folder: of the package, for messages.
        images: by name of the file, each image's path, its last part first, and what is known of it.
    """

    folder: Path
    images: Mapping[str, Sequence[tuple[tuple[str, ...], Known]]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read deployments.csv, media.csv and observations.csv.

        An observation belongs to the image that it names, or, of a whole event, to those taken at its place in its
        time. Known are, as far as the package says: `place` (locationID, else the deployment), `time`, `sequence`
        (eventID), and `identity` where all observations of an image are of one individual.

        Raises:
            InputError: a file or column is missing, or a time is none.
        """
        tables = {name: _table(folder / name, columns) for name, columns in NEEDED.items()}
        places = {row["deploymentID"]: row.get("locationID") for row in tables["deployments.csv"]}
        by_media: dict[str, list[Row]] = defaultdict(list)
        events: dict[str, list[Row]] = defaultdict(list)
        for row in tables["observations.csv"]:
            (by_media[row["mediaID"]] if row.get("mediaID") else events[row["deploymentID"]]).append(row)
        images = defaultdict(list)
        for line, row in enumerate(tables["media.csv"], start=2):
            deployment, source = row["deploymentID"], f"{folder / 'media.csv'}, line {line}"
            seen = by_media[row["mediaID"]] + _at(row["timestamp"], events[deployment], source)
            known = {
                "place": places.get(deployment) or deployment,
                "time": row["timestamp"],
                "sequence": _only(seen, "eventID"),
                "identity": _only(seen, "individualID"),
            }
            path = _reversed_parts(row["filePath"] or "")
            images[path[0]].append((path, {name: value for name, value in known.items() if value}))
        return cls(folder, images)

    def __call__(self, file_name: str) -> Known:
        """Return what is known of an image; nothing where the package has none of this name.

        Cameras call their images alike, so of several the one that shares most of the path's end is meant.

        Raises:
            InputError: two images of the package may be meant.
        """
        path = _reversed_parts(file_name)
        found = self.images.get(path[0], ())
        shared = [_num_shared(path, other) for other, _ in found]
        if shared.count(max(shared, default=0)) > 1:
            raise InputError(
                f"{self.folder / 'media.csv'}: several images may be the one that the annotations call {file_name}; "
                "name it there with its folder, as in filePath"
            )
        return found[shared.index(max(shared))][1] if found else {}


def _reversed_parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts[::-1] or ("",)


def _num_shared(path: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(path, other, strict=False)))


def _table(path: Path, columns: Sequence[str]) -> list[Row]:
    rows, known = read_table(path)
    if missing := [name for name in columns if name not in known]:
        raise InputError(f"{path}: has no column {', '.join(missing)}; is it of a Camtrap DP package of version 1?")
    return rows


def _at(timestamp: str, events: Sequence[Row], source: str) -> list[Row]:
    """Return the events that an image was taken in."""
    timed = [row for row in events if row.get("eventStart") and row.get("eventEnd")]
    if not timed:
        return []
    taken = _time(timestamp, source)
    return [row for row in timed if _time(row["eventStart"], source) <= taken <= _time(row["eventEnd"], source)]


def _time(text: str | None, source: str) -> datetime:
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        raise InputError(f"{source}: the time {text!r} is none of ISO 8601, such as 2020-03-01T22:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _only(rows: Sequence[Row], column: str) -> str | None:
    values = {row[column] for row in rows if row.get(column)}
    return values.pop() if len(values) == 1 else None
