"""MegaDetector's batch output (https://lila.science/megadetector-output-format)."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lynx_pose.errors import InputError
from lynx_pose.formats.boxes import AnimalBox, BoxEntry
from lynx_pose.formats.parsing import Box, Fields, Finite, category_ids, listed, parse

log = logging.getLogger(__name__)
OLDEST_VERSION = (1, 3)


class _Detection(Fields):
    category: str
    conf: Finite
    bbox: Box
    frame_number: int | None = None


class _Entry(Fields):
    file: str
    detections: tuple[_Detection, ...] | None = None
    failure: str | None = None


def read_megadetector(content: dict[str, Any], path: Path, category: str) -> Iterator[BoxEntry]:
    """Yield the boxes of a category, by name, and each image that the file names.

    Raises:
        InputError: the file is of another version, or a record cannot be used.
    """
    info = content.get("info")
    _require_version(info.get("format_version") if isinstance(info, dict) else None, path)
    categories = content.get("detection_categories")
    if not isinstance(categories, dict):
        raise InputError(f"{path}: has no detection_categories, which say what its boxes hold")
    chosen = category_ids({str(key): str(name) for key, name in categories.items()}, category, path)
    for index, raw in enumerate(listed(content, "images", path)):
        entry = parse(_Entry, raw, f"{path}: images[{index}]")
        if entry.failure:
            log.warning("%s: MegaDetector could not read it (%s)", entry.file, entry.failure)
        yield entry.file, None
        for detection in entry.detections or ():
            if detection.category in chosen:
                yield entry.file, AnimalBox(detection.bbox, True, detection.conf, detection.frame_number)


def _require_version(version: Any, path: Path) -> None:
    try:
        major, minor = (int(part) for part in str(version).split(".")[:2])
    except ValueError:
        raise InputError(f"{path}: does not say its format (info.format_version is {version!r})") from None
    if (major, minor) < OLDEST_VERSION:
        raise InputError(
            f"{path}: is of MegaDetector's format {version}; 1.3 and later are read. Run a newer MegaDetector, or "
            "convert the file with its own tools"
        )
    if major > OLDEST_VERSION[0]:
        raise InputError(f"{path}: is of MegaDetector's format {version}, newer than this program, which reads 1.x")
