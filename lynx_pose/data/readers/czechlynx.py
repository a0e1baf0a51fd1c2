"""CzechLynx (Picek et al. 2025, arXiv 2506.04931): one CSV row an image, mask and pose as JSON in it."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from lynx_pose.data.annotations import Annotations, PoseRecord, make_record
from lynx_pose.data.readers.lynx_pose_raw import named_keypoints
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.files import fingerprint
from lynx_pose.formats.parsing import (
    Fields,
    Finite,
    Size,
    existing_folder,
    find_image,
    parse,
    skipping_bad_records,
)

SIDES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class _Mask(Fields):
    size: tuple[Size, Size]
    counts: str | list[int]


class _Pose(Fields):
    keypoints: dict[str, tuple[Finite, Finite]]


def read(root: str, metadata: str = "CzechLynxDataset-Metadata-Real.csv", on_error: str = "raise") -> Annotations:
    """Read the CzechLynx folder.

    The columns `split-…` become splits of the dataset: `train` trains, `val` validates, `test` tests (`data.test=own`)
    or else validates as well; a row whose cell says anything else takes no part in that split. Trap, encounter and date
    become place, sequence and time, the coat's pattern is kept; the mask's outline becomes the polygon.

    Args:
        root: folder that holds the metadata file and the images that it names.
        metadata: the CSV file, of the real or of the synthetic part.
        on_error: `raise` stops at the first bad record, `skip` counts it and goes on.

    Raises:
        InputError: the folder, the file or (with `raise`) a record cannot be used.
    """
    folder = existing_folder(root, "data.root")
    path = folder / metadata
    skipped: Counter[str] = Counter()
    records = []
    for number, row in enumerate(_rows(path), start=2):
        if not (row.get("pose") or "").strip("{} \t\n"):
            skipped["images without a pose"] += 1
            continue
        with skipping_bad_records(on_error, skipped):
            records.append(_record(row, number, folder, f"{path}: line {number}", skipped))
    return Annotations(records, ANIMAL_POSE_20, skipped, fingerprint([path]), (path,))


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # Masks are long: the standard limit of 131,072 characters a field is too small for them.
            csv.field_size_limit(100_000_000)
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file. Check data.root and data.metadata") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from error
    missing = {"path", "unique_name", "mask", "pose"} - set(rows[0] if rows else {})
    if missing:
        raise InputError(f"{path}: has no column {', '.join(sorted(missing))}; is it CzechLynx's metadata file?")
    return rows


def _record(row: dict[str, str], number: int, root: Path, source: str, skipped: Counter[str]) -> PoseRecord:
    pose = parse(_Pose, {"keypoints": _json(row["pose"], "pose", source)}, source)
    mask = parse(_Mask, _json(row["mask"], "mask", source), f"{source}: mask")
    keypoints, labelled = named_keypoints(pose.keypoints, source)
    height, width = mask.size
    encoded = _encoded(mask, source)
    return make_record(
        id=str(number),
        image_id=row["path"],
        image_path=find_image(root, [row["path"]], source),
        image_size=(width, height),
        box=coco_mask.toBbox(encoded),
        keypoints=keypoints,
        labelled=labelled,
        source=source,
        skipped=skipped,
        identity=row["unique_name"] or None,
        coat_pattern=row.get("coat_pattern") or None,
        place=row.get("trap_id") or row.get("cell_code") or None,
        sequence=row.get("encounter") or None,
        time=row.get("date") or None,
        polygon=_outline(encoded),
        subsets={
            column: SIDES[value.strip().lower()]
            for column, value in row.items()
            if column and column.startswith("split-") and (value or "").strip().lower() in SIDES
        },
    )


def _outline(encoded: dict[str, Any]) -> tuple[float, ...]:
    """Return the outline x, y, x, y, … of a mask's largest piece; empty where that is no area."""
    pieces, _ = cv2.findContours(coco_mask.decode(encoded), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(pieces, key=cv2.contourArea)
    return tuple(map(float, largest.reshape(-1))) if len(largest) > 2 else ()


def _json(text: str, column: str, source: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{source}: column '{column}' is not valid JSON ({error.msg})") from None


def _encoded(mask: _Mask, source: str) -> dict[str, Any]:
    """Return pycocotools' compressed form of a run-length mask, compressed or not."""
    try:
        if isinstance(mask.counts, str):
            encoded = {"size": list(mask.size), "counts": mask.counts.encode("ascii")}
        else:
            encoded = coco_mask.frPyObjects({"size": list(mask.size), "counts": mask.counts}, *mask.size)
        area = int(np.asarray(coco_mask.area(encoded)))
    except (ValueError, TypeError, UnicodeEncodeError) as error:
        raise InputError(f"{source}: the mask is no COCO run-length encoding ({error})") from None
    if area == 0:
        raise InputError(f"{source}: the mask is empty, so there is no box")
    return encoded
