"""The raw Lynx-Pose format: one JSON file with named keypoints beside a tree of images."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.annotations import Annotations, PoseRecord, make_record
from lynx_pose.data.skeleton import ANIMAL_POSE_20, KEYPOINT_INDEX
from lynx_pose.errors import InputError
from lynx_pose.files import fingerprint
from lynx_pose.formats.parsing import (
    Box,
    Fields,
    Finite,
    Size,
    add_once,
    existing_folder,
    find_image,
    listed,
    parse,
    read_annotation_file,
    skipping_bad_records,
)


class _Image(Fields):
    id: str
    width: Size
    height: Size
    file_name: str | None = None
    file_path: str | None = None
    # Of the synthetic images; Lynx-Pose itself does not say.
    place: str | None = None
    sequence: str | None = None
    light: str | None = None


class _Attributes(Fields):
    orientation: str | None = None
    name: str | None = None


class _Annotation(Fields):
    image_id: str
    bbox: Box
    polygon: tuple[Finite, ...] = ()
    keypoints: dict[str, tuple[Finite, Finite]]
    attributes: _Attributes = Field(default_factory=_Attributes)
    # Of the synthetic images, as are place, sequence and light.
    keypoints_3d: dict[str, tuple[Finite, Finite, Finite]] | None = None
    pixels_per_metre: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    # Names of the keypoints that are annotated though something hides them.
    occluded: tuple[str, ...] = ()

    @field_validator("polygon")
    @classmethod
    def _pairs(cls, polygon: tuple[float, ...]) -> tuple[float, ...]:
        if len(polygon) % 2:
            raise ValueError("an odd number of coordinates")
        return polygon


def read(root: str, annotations: str = "metadata_cleaned.json", on_error: str = "raise") -> Annotations:
    """Read a Lynx-Pose folder.

    Args:
        root: folder that holds the annotation file and, under it, the images.
        annotations: name of the annotation file.
        on_error: `raise` stops at the first bad record, `skip` counts it and goes on.

    Raises:
        InputError: the folder, the file or (with `raise`) a record cannot be used.
    """
    folder = existing_folder(root, "data.root")
    path = folder / annotations
    content = read_annotation_file(path)
    skipped: Counter[str] = Counter()
    images: dict[str, _Image] = {}
    for number, raw in enumerate(listed(content, "images", path)):
        with skipping_bad_records(on_error, skipped):
            source = f"{path}: images[{number}]"
            image = parse(_Image, raw, source)
            add_once(images, image.id, image, "image", source)
    records = []
    for number, raw in enumerate(listed(content, "annotations", path)):
        reason = _without_pose(raw)
        if reason:
            skipped[reason] += 1
            continue
        with skipping_bad_records(on_error, skipped):
            source = f"{path}: annotations[{number}]"
            records.append(_record(raw, str(number), images, folder, source, skipped))
    return Annotations(records, ANIMAL_POSE_20, skipped, fingerprint([path]), (path,))


def _without_pose(raw: Any) -> str | None:
    """Name the reason why an annotation is not meant for pose estimation, if it is not."""
    if not isinstance(raw, dict):
        return None
    if raw.get("tag") == "NOT_FOR_POSE":
        return "annotations tagged NOT_FOR_POSE"
    if raw.get("keypoints") in (None, {}, []):
        return "annotations without a pose"
    return None


def _record(
    raw: Any, name: str, images: dict[str, _Image], root: Path, source: str, skipped: Counter[str]
) -> PoseRecord:
    annotation = parse(_Annotation, raw, source)
    image = images.get(annotation.image_id)
    if image is None:
        raise InputError(f"{source}: image_id '{annotation.image_id}' is not among the file's images")
    keypoints, labelled = named_keypoints(annotation.keypoints, source)
    if unknown := set(annotation.occluded) - set(KEYPOINT_INDEX):
        raise InputError(
            f"{source}: occluded: there is no keypoint '{min(unknown)}'; known are {', '.join(KEYPOINT_INDEX)}"
        )
    occluded = np.isin(np.arange(len(labelled)), [KEYPOINT_INDEX[name] for name in annotation.occluded])
    return make_record(
        id=name,
        image_id=annotation.image_id,
        image_path=find_image(root, [f"{image.id}.jpg", image.file_path, image.file_name], source),
        image_size=(image.width, image.height),
        box=annotation.bbox,
        keypoints=keypoints,
        labelled=labelled,
        occluded=occluded,
        source=source,
        skipped=skipped,
        identity=annotation.attributes.name or None,
        orientation=annotation.attributes.orientation or None,
        place=image.place,
        sequence=image.sequence,
        light=image.light,
        polygon=annotation.polygon,
        points=_named_points(annotation.keypoints_3d, source) if annotation.keypoints_3d else None,
        pixels_per_metre=annotation.pixels_per_metre,
    )


def _named_points(points: dict[str, tuple[float, float, float]], source: str) -> Floats:
    """Turn a mapping from keypoint name to (x, y, z) into [20, 3] in Animal-Pose order.

    Raises:
        InputError: some are missing, or it is the mirror image of an animal.
    """
    known = {KEYPOINT_INDEX[name]: point for name, point in points.items() if name in KEYPOINT_INDEX}
    names = ANIMAL_POSE_20.names
    if missing := [name for index, name in enumerate(names) if index not in known]:
        raise InputError(f"{source}: keypoints_3d: {', '.join(missing)} are missing; all {len(names)} are needed")
    ordered = np.array([known[index] for index in range(len(names))])
    at = dict(zip(names, ordered, strict=True))
    paws = [at[f"{leg}_Paw"] for leg in ("L_F", "R_F", "L_B", "R_B")]
    left, right = (ordered[[name.startswith(side) for name in names]].mean(axis=0) for side in ("L_", "R_"))
    # Forward, down and left are right-handed, as x to the right, y down, z away are.
    axes = [at["Withers"] - at["TailBase"], np.mean(paws, axis=0) - at["Withers"], left - right]
    if np.linalg.det(axes) < 0:
        raise InputError(
            f"{source}: keypoints_3d: a mirrored skeleton, its left at its right; x to the right, y down and z away "
            "from the camera are expected"
        )
    return ordered


def named_keypoints(points: dict[str, tuple[float, float]], source: str) -> tuple[Floats, Mask]:
    """Turn a mapping from keypoint name to (x, y) into arrays [20, 2] and [20] in Animal-Pose order."""
    keypoints = np.zeros((len(ANIMAL_POSE_20), 2))
    labelled = np.zeros(len(ANIMAL_POSE_20), dtype=bool)
    for name, point in points.items():
        if name not in KEYPOINT_INDEX:
            raise InputError(f"{source}: keypoint name '{name}' is unknown; known are {', '.join(KEYPOINT_INDEX)}")
        keypoints[KEYPOINT_INDEX[name]] = point
        labelled[KEYPOINT_INDEX[name]] = True
    return keypoints, labelled
