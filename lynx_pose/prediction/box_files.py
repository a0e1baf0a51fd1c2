"""Files that list animals' boxes: MegaDetector's, COCO's, and tables."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from lynx_pose.data.readers.parsing import Box, Fields, Finite, listed, parse
from lynx_pose.data.records import fingerprint
from lynx_pose.errors import InputError
from lynx_pose.prediction.boxes import AnimalBox, Boxes, ListedBoxes, WholeImage
from lynx_pose.prediction.media import Media

log = logging.getLogger(__name__)
# What these files call a photograph, and what they say of it.
Entry = tuple[str, AnimalBox | None]
MEGADETECTOR_FROM = (1, 3)
# The columns of Camtrap DP's observations.csv (https://camtrap-dp.tdwg.org/data/#observations), then our own.
RELATIVE_COLUMNS = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
PIXEL_COLUMNS = ("x", "y", "width", "height")
NAME_COLUMNS = ("image", "file", "filePath", "file_name", "path")
IDS = ("deploymentID", "mediaID", "observationID", "eventID", "individualID")


def read_boxes(source: str, media: Media, category: str = "animal", confidence: float = 0.2) -> Boxes:
    """Read the boxes of photographs.

    Args:
        source: `image` for the whole photograph; or a JSON file of MegaDetector (format 1.3 or later) or of COCO
            (detections, or a whole dataset), or a CSV file with a row an animal.
        media: the photographs; the file may name them relative to their folder, in full, or by a name that only
            one of them has.
        category: of MegaDetector or COCO, by name; files without categories hold animals alone.
        confidence: that a detection needs at least.

    Raises:
        InputError: the file, or a record in it, cannot be used; or it names none of the photographs.
    """
    if source == "image":
        return WholeImage()
    path = Path(source).expanduser()
    if not path.is_file():
        raise InputError(f"boxes={source}: there is no such file; boxes=image takes whole photographs")
    entries = list(_entries(path, category))
    animals = _by_photograph(entries, media, confidence)
    if not animals:
        example = f"such as {entries[0][0]}" if entries else "it has none"
        raise InputError(
            f"{path}: names none of the {len(media.names)} photographs in {media.folder} ({example}); give the folder "
            "that its names are relative to as images="
        )
    boxes = ListedBoxes(animals, f"{fingerprint([path])} {category} {confidence}")
    if missing := sum(1 for _ in boxes.missing(media.names)):
        log.warning("%s does not name %d of the %d photographs", path, missing, len(media.names))
    return boxes


def _by_photograph(entries: Sequence[Entry], media: Media, confidence: float) -> dict[str, list[AnimalBox]]:
    known = _lookup(media)
    animals: dict[str, list[AnimalBox]] = {}
    for name, animal in entries:
        photograph = known(name)
        if photograph is None:
            continue
        found = animals.setdefault(photograph, [])
        if animal and (animal.score is None or animal.score >= confidence):
            found.append(animal)
    return animals


def _lookup(media: Media) -> Callable[[str], str | None]:
    """Return what finds the photograph that a file means."""
    names = set(media.names)
    by_file: dict[str, list[str]] = {}
    for name in media.names:
        for short in _short_names(name):
            by_file.setdefault(short, []).append(name)

    def find(given: str) -> str | None:
        tidy = given.replace("\\", "/").removeprefix(media.folder.as_posix() + "/").removeprefix("./")
        if tidy in names:
            return tidy
        alike = by_file.get(PurePosixPath(tidy).name, [])
        return alike[0] if len(alike) == 1 else None

    return find


def _short_names(name: str) -> set[str]:
    """What a file may be called without its folder; COCO's numbers drop leading zeros."""
    stem = PurePosixPath(name).stem
    return {PurePosixPath(name).name, stem, str(int(stem)) if stem.isdecimal() else stem}


def _entries(path: Path, category: str) -> Iterator[Entry]:
    if path.suffix.lower() == ".csv":
        return _table(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is neither a CSV file nor valid JSON ({error})") from None
    if isinstance(content, list):
        return _coco_detections(content, path)
    if isinstance(content, dict) and "annotations" in content:
        return _coco_dataset(content, path, category)
    if isinstance(content, dict) and "images" in content:
        return _megadetector(content, path, category)
    raise InputError(
        f"{path}: is neither MegaDetector's (an object with info, detection_categories and images) nor COCO's (a list "
        "of detections, or an object with images and annotations)"
    )


class _Detection(Fields):
    category: str
    conf: Finite
    bbox: Box
    frame_number: int | None = None


class _Photograph(Fields):
    file: str
    detections: tuple[_Detection, ...] | None = None
    failure: str | None = None


def _megadetector(content: dict[str, Any], path: Path, category: str) -> Iterator[Entry]:
    """Read MegaDetector's batch output (https://lila.science/megadetector-output-format)."""
    info = content.get("info")
    _require_version(info.get("format_version") if isinstance(info, dict) else None, path)
    categories = content.get("detection_categories")
    if not isinstance(categories, dict):
        raise InputError(f"{path}: has no detection_categories, which say what its boxes hold")
    chosen = _category_ids({str(key): str(name) for key, name in categories.items()}, category, path)
    for number, raw in enumerate(listed(content, "images", path)):
        source = f"{path}: images[{number}]"
        photograph = parse(_Photograph, raw, source)
        if photograph.failure:
            log.warning("%s: MegaDetector could not read it (%s)", photograph.file, photograph.failure)
        yield photograph.file, None
        for found in photograph.detections or ():
            if found.category in chosen:
                yield photograph.file, AnimalBox(found.bbox, True, found.conf, found.frame_number)


def _require_version(version: Any, path: Path) -> None:
    try:
        major, minor = (int(part) for part in str(version).split(".")[:2])
    except ValueError:
        raise InputError(f"{path}: does not say its format (info.format_version is {version!r})") from None
    if (major, minor) < MEGADETECTOR_FROM:
        raise InputError(
            f"{path}: is of MegaDetector's format {version}; 1.3 and later are read. Run a newer MegaDetector, or "
            "convert the file with its own tools"
        )
    if major > MEGADETECTOR_FROM[0]:
        raise InputError(f"{path}: is of MegaDetector's format {version}, newer than this program, which reads 1.x")


def _category_ids(names: Mapping[str, str], category: str, path: Path) -> set[str]:
    chosen = {key for key, name in names.items() if name == category}
    if not chosen:
        raise InputError(
            f"{path}: has no category {category!r}, only {', '.join(names.values())}; box_category= chooses"
        )
    return chosen


class _CocoDetection(Fields):
    image_id: str
    bbox: Box
    score: Finite | None = None


class _CocoAnnotation(_CocoDetection):
    category_id: str = ""


class _CocoImage(Fields):
    id: str
    file_name: str


class _CocoCategory(Fields):
    id: str
    name: str


def _coco_detections(content: Sequence[Any], path: Path) -> Iterator[Entry]:
    """Read a list in COCO's results format whose image ids are files' names, with or without their ending."""
    for number, raw in enumerate(content):
        found = parse(_CocoDetection, raw, f"{path}: [{number}]")
        yield found.image_id, AnimalBox(found.bbox, score=found.score)


def _coco_dataset(content: dict[str, Any], path: Path, category: str) -> Iterator[Entry]:
    categories = [
        parse(_CocoCategory, raw, f"{path}: categories[{n}]") for n, raw in enumerate(content.get("categories", []))
    ]
    several = len(categories) > 1
    chosen = _category_ids({one.id: one.name for one in categories}, category, path) if several else None
    files: dict[str, str] = {}
    for number, raw in enumerate(listed(content, "images", path)):
        image = parse(_CocoImage, raw, f"{path}: images[{number}]")
        files[image.id] = image.file_name
        yield image.file_name, None
    for number, raw in enumerate(listed(content, "annotations", path)):
        source = f"{path}: annotations[{number}]"
        found = parse(_CocoAnnotation, raw, source)
        if found.image_id not in files:
            raise InputError(f"{source}: image_id {found.image_id!r} is not among the file's images")
        if chosen is None or found.category_id in chosen:
            yield files[found.image_id], AnimalBox(found.bbox, score=found.score)


def _table(path: Path) -> Iterator[Entry]:
    """Read a CSV file with a row an animal: its photograph, its box, and what else names it."""
    rows, columns = _rows(path)
    relative = set(RELATIVE_COLUMNS) <= set(columns)
    box_columns = RELATIVE_COLUMNS if relative else PIXEL_COLUMNS
    if not set(box_columns) <= set(columns):
        raise InputError(
            f"{path}: needs the columns {', '.join(PIXEL_COLUMNS)} in pixels, or {', '.join(RELATIVE_COLUMNS)} in "
            f"shares of the photograph; it has {', '.join(columns)}"
        )
    name_of = _naming(path, columns)
    for number, row in enumerate(rows, start=2):
        values = [row[column] for column in box_columns]
        ids = {name: row[name] for name in IDS if row.get(name)}
        if not any(values):
            # An observation of the photograph as a whole, such as that nothing is on it.
            yield name_of(row), None
            continue
        fields = {"image_id": "", "bbox": values, "score": row.get("score") or None}
        found = parse(_CocoDetection, fields, f"{path}, line {number}")
        yield name_of(row), AnimalBox(found.bbox, relative, found.score, ids=ids)


def _rows(path: Path) -> tuple[list[dict[str, str]], Sequence[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            return list(reader), reader.fieldnames or ()
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV file ({error})") from None


def _naming(path: Path, columns: Sequence[str]) -> Callable[[Mapping[str, str]], str]:
    """Return what finds a row's photograph: a column, or Camtrap DP's media.csv beside the file."""
    named = next((column for column in NAME_COLUMNS if column in columns), None)
    if named:
        return lambda row: row[named]
    media = path.with_name("media.csv")
    if "mediaID" not in columns or not media.is_file():
        raise InputError(
            f"{path}: needs a column {' or '.join(NAME_COLUMNS)} that names the photograph, or mediaID and Camtrap "
            "DP's media.csv beside it"
        )
    rows, media_columns = _rows(media)
    if not {"mediaID", "filePath"} <= set(media_columns):
        raise InputError(f"{media}: needs the columns mediaID and filePath; it has {', '.join(media_columns)}")
    paths = {row["mediaID"]: row["filePath"] for row in rows}
    return lambda row: paths.get(row["mediaID"], "")
