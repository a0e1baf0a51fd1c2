"""CSV files with a row an animal, such as Camtrap DP's observations.csv (https://camtrap-dp.tdwg.org/data/)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lynx_pose.errors import InputError
from lynx_pose.formats.boxes import AnimalBox, BoxEntry
from lynx_pose.formats.parsing import Box, Fields, Finite, parse, read_table

# Camtrap DP's columns, then our own.
RELATIVE_COLUMNS = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
PIXEL_COLUMNS = ("x", "y", "width", "height")
NAME_COLUMNS = ("image", "file", "filePath", "file_name", "path")
IDS = ("deploymentID", "mediaID", "observationID", "eventID", "individualID", "species", "place")


class _Row(Fields):
    bbox: Box
    score: Finite | None = None


def read_box_table(path: Path) -> Iterator[BoxEntry]:
    """Yield each row's image, its box, and what else names the animal.

    Raises:
        InputError: columns are missing, or a row cannot be used.
    """
    rows, columns = read_table(path)
    relative = set(RELATIVE_COLUMNS) <= set(columns)
    box_columns = RELATIVE_COLUMNS if relative else PIXEL_COLUMNS
    if not set(box_columns) <= set(columns):
        raise InputError(
            f"{path}: needs the columns {', '.join(PIXEL_COLUMNS)} in pixels, or {', '.join(RELATIVE_COLUMNS)} in "
            f"shares of the image; it has {', '.join(columns)}"
        )
    image_name = _image_names(path, columns)
    for line, row in enumerate(rows, start=2):
        values = [row[column] for column in box_columns]
        if not any(values):
            # An observation of the image as a whole, such as that nothing is on it.
            yield image_name(row), None
            continue
        found = parse(_Row, {"bbox": values, "score": row.get("score") or None}, f"{path}, line {line}")
        ids = {name: row[name] for name in IDS if row.get(name)}
        yield image_name(row), AnimalBox(found.bbox, relative, found.score, ids=ids)


def _image_names(path: Path, columns: Sequence[str]) -> Callable[[Mapping[str, str]], str]:
    """Return what names a row's image: a column, or Camtrap DP's media.csv beside the file."""
    column = next((name for name in NAME_COLUMNS if name in columns), None)
    if column:
        return lambda row: row[column]
    media = path.with_name("media.csv")
    if "mediaID" not in columns or not media.is_file():
        raise InputError(
            f"{path}: needs a column {' or '.join(NAME_COLUMNS)} that names the image, or mediaID and Camtrap "
            "DP's media.csv beside it"
        )
    rows, media_columns = read_table(media)
    if not {"mediaID", "filePath"} <= set(media_columns):
        raise InputError(f"{media}: needs the columns mediaID and filePath; it has {', '.join(media_columns)}")
    paths = {row["mediaID"]: row["filePath"] for row in rows}
    return lambda row: paths.get(row["mediaID"], "")
