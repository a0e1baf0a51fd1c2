"""What a Camtrap DP package says of its images (https://camtrap-dp.tdwg.org/data/): where, when, and who."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from lynx_pose.errors import InputError
from lynx_pose.formats.parsing import read_table

NEEDED = {
    "deployments.csv": ("deploymentID",),
    "media.csv": ("mediaID", "deploymentID", "timestamp", "filePath"),
    "observations.csv": ("deploymentID", "eventID"),
}
Row = dict[str, str]


def read_media(folder: Path) -> dict[str, dict[str, str]]:
    """Read what is known of each image.

    An observation belongs to the image that it names, or, of a whole event, to those taken at its place in its time.

    Args:
        folder: with deployments.csv, media.csv and observations.csv.

    Returns:
        By file name, as far as known: `place` (locationID, else the deployment), `time`, `sequence` (eventID), and
        `identity` where all observations of an image are of one individual.

    Raises:
        InputError: a file or column is missing, a time is none, or two images have one name.
    """
    tables = {name: _table(folder / name, columns) for name, columns in NEEDED.items()}
    places = {row["deploymentID"]: row.get("locationID") or row["deploymentID"] for row in tables["deployments.csv"]}
    by_media: dict[str, list[Row]] = defaultdict(list)
    events: dict[str, list[Row]] = defaultdict(list)
    for row in tables["observations.csv"]:
        (by_media[row["mediaID"]] if row.get("mediaID") else events[row["deploymentID"]]).append(row)
    found: dict[str, dict[str, str]] = {}
    for line, row in enumerate(tables["media.csv"], start=2):
        source = f"{folder / 'media.csv'}, line {line}"
        name = PurePosixPath(row["filePath"]).name
        if name in found:
            raise InputError(
                f"{source}: there are two images called {name}, so that annotations cannot tell them apart"
            )
        seen = by_media[row["mediaID"]] + _at(row["timestamp"], events[row["deploymentID"]], source)
        known = {
            "place": places.get(row["deploymentID"]),
            "time": row["timestamp"],
            "sequence": _only(seen, "eventID"),
            "identity": _only(seen, "individualID"),
        }
        found[name] = {field: value for field, value in known.items() if value}
    return found


def _table(path: Path, columns: Sequence[str]) -> list[Row]:
    rows, known = read_table(path)
    if missing := [name for name in columns if name not in known]:
        raise InputError(f"{path}: has no column {', '.join(missing)}; is it of a Camtrap DP package of version 1?")
    return rows


def _at(timestamp: str, events: Sequence[Row], source: str) -> list[Row]:
    """Return the events that an image was taken in."""
    if not events:
        return []
    taken = _time(timestamp, source)
    return [row for row in events if _time(row["eventStart"], source) <= taken <= _time(row["eventEnd"], source)]


def _time(text: str, source: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{source}: the time {text!r} is none of ISO 8601, such as 2020-03-01T22:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _only(rows: Sequence[Row], column: str) -> str | None:
    values = {row[column] for row in rows if row.get(column)}
    return values.pop() if len(values) == 1 else None
