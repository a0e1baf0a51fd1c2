"""COCO's JSON: datasets and detections are read, datasets and results written (https://cocodataset.org/#format-data).

Needs no torch, so that prediction with ONNX files does without it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.left_right import mirrored_pairs, unpaired_sides
from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton
from lynx_pose.errors import InputError
from lynx_pose.formats.boxes import AnimalBox, BoxEntry
from lynx_pose.formats.parsing import (
    Area,
    Box,
    Fields,
    Finite,
    Size,
    add_once,
    category_ids,
    listed,
    parse,
    read_annotation_file,
)

Content = dict[str, Any]
Id = int | str
# MMPose leaves keypoints of a lower confidence out of a pose's score.
SCORE_THRESHOLD = 0.2


class CocoImage(Fields):
    """An entry of `images`, without its size, which detections do not need."""

    id: Id
    file_name: str


class CocoSizedImage(CocoImage):
    """An entry of `images`, with whatever else the file says of it."""

    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)
    width: Size
    height: Size


class CocoCategory(Fields):
    """An entry of `categories`."""

    id: Id
    name: str
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()


class CocoBox(Fields):
    """An entry of `annotations`, or a detection, as far as it is a box."""

    image_id: Id
    bbox: Box
    category_id: Id = ""
    score: Finite | None = None


class CocoPose(Fields):
    """An entry of `annotations` with keypoints."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: Box
    keypoints: tuple[Finite, ...]
    area: Area | None = None
    iscrowd: int | bool = 0

    def keypoint_values(self, num_keypoints: int, source: str) -> Floats:
        """Return [K, 3]: x, y, visibility.

        Raises:
            InputError: there are too many or too few numbers.
        """
        if len(self.keypoints) != 3 * num_keypoints:
            raise InputError(
                f"{source}: has {len(self.keypoints)} keypoint numbers where the category's {num_keypoints} keypoints "
                f"need {3 * num_keypoints} (x, y, visibility)"
            )
        return np.asarray(self.keypoints).reshape(num_keypoints, 3)


def has_pose(raw: Any) -> bool:
    """Whether an entry of `annotations` has a labelled keypoint; what is no entry at all is judged later."""
    if not isinstance(raw, dict):
        return True
    keypoints = raw.get("keypoints")
    return bool(keypoints) and (not isinstance(keypoints, list) or any(keypoints[2::3]))


def read_categories(content: Content, path: Path) -> dict[Id, CocoCategory]:
    """Read the categories and check what they say of keypoints.

    Raises:
        InputError: a category cannot be used.
    """
    categories: dict[Id, CocoCategory] = {}
    for index, raw in enumerate(listed(content, "categories", path)):
        source = f"{path}: categories[{index}]"
        category = parse(CocoCategory, raw, source)
        add_once(categories, category.id, category, "category", source)
        names, first = category.keypoints, _first_number(category.skeleton)
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{source}: has the keypoint '{name}' twice")
        for limb in category.skeleton:
            if not all(first <= end < len(names) + first for end in limb):
                raise InputError(f"{source}: the limb {list(limb)} does not join two of its {len(names)} keypoints")
    return categories


def _first_number(limbs: Sequence[tuple[int, int]]) -> int:
    """Return the number of the first keypoint: COCO counts from 1, but some files (ATRW) from 0."""
    return 0 if any(0 in limb for limb in limbs) else 1


def read_skeleton(content: Content, path: Path) -> Skeleton:
    """Take names and limbs from the categories that the annotations use; they must agree.

    Raises:
        InputError: they do not.
    """
    ids = (raw.get("category_id") for raw in listed(content, "annotations", path) if isinstance(raw, dict))
    used = {one for one in ids if isinstance(one, int | str)}
    categories = read_categories(content, path)
    described = {(one.keypoints, one.skeleton) for one in categories.values() if one.id in used and one.keypoints}
    if len({names for names, _ in described}) != 1:
        raise InputError(
            f"{path}: its annotations use categories with {len(described)} different keypoint lists; one is needed"
        )
    names, limbs = next(iter(described))
    if names == ANIMAL_POSE_20.names:
        return ANIMAL_POSE_20
    first = _first_number(limbs)
    edges = tuple((start - first, end - first) for start, end in limbs)
    pairs = mirrored_pairs(names)
    return Skeleton(names, pairs, edges, (), (), mirrorable=bool(pairs) and not unpaired_sides(names, pairs))


@dataclass(frozen=True)
class AnnotatedPose:
    """An annotation without its image.

    Args:
        keypoints: [K, 2] in image pixels.
        visible: [K].
        area: in square pixels; the box's where the file gives none.
        source: file and record, for messages.
    """

    keypoints: Floats
    visible: Mask
    area: float
    source: str


def read_poses(path: Path) -> tuple[tuple[str, ...], dict[str, list[AnnotatedPose]]]:
    """Read one COCO keypoint file without looking for its images.

    Returns:
        The keypoints' names, and the poses by the image's file name.

    Raises:
        InputError: the file or one of its records cannot be used.
    """
    content = read_annotation_file(path)
    names = read_skeleton(content, path).names
    files = _file_names(content, path)
    poses: dict[str, list[AnnotatedPose]] = {}
    for index, raw in enumerate(listed(content, "annotations", path)):
        if not has_pose(raw):
            continue
        source = f"{path}: annotations[{index}]"
        annotation = parse(CocoPose, raw, source)
        values = annotation.keypoint_values(len(names), source)
        area = annotation.area or annotation.bbox[2] * annotation.bbox[3]
        pose = AnnotatedPose(values[:, :2], values[:, 2] > 0, area, source)
        poses.setdefault(_file_name(annotation.image_id, files, source), []).append(pose)
    return names, poses


def _file_names(content: Content, path: Path) -> dict[Id, str]:
    entries = enumerate(listed(content, "images", path))
    images = [parse(CocoImage, raw, f"{path}: images[{index}]") for index, raw in entries]
    return {image.id: image.file_name for image in images}


def _file_name(image_id: Id, files: dict[Id, str], source: str) -> str:
    if image_id not in files:
        raise InputError(f"{source}: image_id {image_id!r} is not among the file's images")
    return files[image_id]


def read_detections(content: Sequence[Any], path: Path) -> Iterator[BoxEntry]:
    """Yield the boxes of a list in COCO's results format whose image ids are files' names, with or without ending."""
    for index, raw in enumerate(content):
        found = parse(CocoBox, raw, f"{path}: [{index}]")
        yield str(found.image_id), AnimalBox(found.bbox, score=found.score)


def read_dataset_boxes(content: Content, path: Path, category: str | None) -> Iterator[BoxEntry]:
    """Yield the boxes of a dataset, and each image that it names.

    None as the category takes `animal`, and all where there is no such category.
    """
    raw_categories = enumerate(content.get("categories") or [])
    categories = [parse(CocoCategory, raw, f"{path}: categories[{index}]") for index, raw in raw_categories]
    names = {str(one.id): one.name for one in categories}
    category = category or ("animal" if "animal" in names.values() else None)
    chosen = category_ids(names, category, path) if category and len(categories) > 1 else None
    files = _file_names(content, path)
    yield from ((name, None) for name in files.values())
    for index, raw in enumerate(listed(content, "annotations", path)):
        source = f"{path}: annotations[{index}]"
        found = parse(CocoBox, raw, source)
        name = _file_name(found.image_id, files, source)
        if chosen is None or str(found.category_id) in chosen:
            yield name, AnimalBox(found.bbox, score=found.score)


def pose_score(scores: Floats) -> float:
    """Return a pose's score: the mean confidence [K] of its keypoints above the threshold, else 0."""
    confident = scores[scores > SCORE_THRESHOLD]
    return float(confident.mean()) if confident.size else 0.0


def pose_results(image_ids: Sequence[Id], keypoints: Floats, scores: Floats) -> list[Content]:
    """Return N poses [N, K, 2] with confidences [N, K] in COCO results format."""
    rows = np.concatenate([keypoints, scores[..., None]], axis=-1)
    return [
        {"image_id": image_id, "category_id": 1, "keypoints": row.ravel().tolist(), "score": pose_score(confidences)}
        for image_id, row, confidences in zip(image_ids, rows, scores, strict=True)
    ]


def ground_truth(records: Sequence[PoseRecord], image_ids: Sequence[int], areas: Floats) -> Content:
    """Return records as a COCO keypoint dataset, one image id and squared scale each; equal ids are one image."""
    annotations = []
    for number, (record, image_id, area) in enumerate(zip(records, image_ids, areas, strict=True), start=1):
        points = np.concatenate([record.keypoints, 2.0 * record.visible[:, None]], axis=1)
        pose = {"keypoints": points.ravel().tolist(), "num_keypoints": int(record.visible.sum())}
        annotations.append(annotation_entry(number, image_id, record.box.tolist(), float(area)) | pose)
    return {
        "images": [{"id": image_id} for image_id in dict.fromkeys(image_ids)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "animal"}],
    }


def annotation_entry(number: int, image_id: Id, box: Sequence[float], area: float) -> Content:
    """Return an entry of `annotations` of the one category that we write, without its keypoints."""
    # No outline, and saying so: some importers complain where the format's field is missing.
    outline: list[float] = []
    values = {"bbox": box, "area": area, "iscrowd": 0, "segmentation": outline}
    return {"id": number, "image_id": image_id, "category_id": 1} | values


def category_entry(skeleton: Skeleton) -> Content:
    """Return the entry of `categories` that describes a skeleton; limbs count from 1."""
    limbs = [[start + 1, end + 1] for start, end in skeleton.limbs]
    return {"id": 1, "name": "animal", "keypoints": list(skeleton.names), "skeleton": limbs}
