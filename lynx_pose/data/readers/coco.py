"""COCO keypoint files with any skeleton (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lynx_pose.data.readers.parsing import (
    Area,
    Box,
    Fields,
    Finite,
    Size,
    add_once,
    existing_folder,
    find_image,
    listed,
    parse,
    read_json,
    tolerating,
)
from lynx_pose.data.records import Annotations, PoseRecord, fingerprint, make_record
from lynx_pose.data.skeleton import ANIMAL_POSE_20, Skeleton, mirrored_pairs
from lynx_pose.errors import InputError

log = logging.getLogger(__name__)
SPLIT = "file"


class _Image(Fields):
    id: int | str
    file_name: str
    width: Size
    height: Size


class _Annotation(Fields):
    id: int | str
    image_id: int | str
    category_id: int | str
    bbox: Box
    keypoints: tuple[Finite, ...]
    area: Area | None = None


class _Category(Fields):
    id: int | str
    name: str
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()


def read(
    train: str,
    images: str,
    val: str | None = None,
    sigmas: float | Sequence[float] | None = None,
    default_sigma: float = 0.05,
    pairs: Sequence[Sequence[str]] | None = None,
    upper: Sequence[str] = (),
    lower: Sequence[str] = (),
    on_error: str = "raise",
) -> Annotations:
    """Read one or two COCO keypoint files.

    Args:
        train: annotation file. With `val` beside it, the split named `file` puts each on its side.
        images: folder of the photographs.
        val: annotation file of the validation side, if there is one.
        sigmas: OKS sigmas, one number or one a keypoint; None takes Animal-Pose's own for its 20 keypoints.
        default_sigma: what any other skeleton gets when `sigmas` is None; a warning says so.
        pairs: (left name, right name) pairs; None finds them in names such as `left_eye`, `L_Eye`.
        upper: names of the front half of the body, for half-body crops.
        lower: names of the rear half.
        on_error: `raise` stops at the first bad record, `skip` counts it and goes on.

    Raises:
        InputError: a file, the skeleton or (with `raise`) a record cannot be used.
    """
    folder = existing_folder(images, "data.images")
    sides = {"train": Path(train).expanduser()} | ({"val": Path(val).expanduser()} if val else {})
    contents = {side: read_json(path) for side, path in sides.items()}
    skeletons = {side: _skeleton(contents[side], path) for side, path in sides.items()}
    skeleton = skeletons["train"]
    if any(other != skeleton for other in skeletons.values()):
        raise InputError(f"{val}: its keypoints differ from those of {train}; both files need the same skeleton")
    left_out: Counter[str] = Counter()
    records: list[PoseRecord] = []
    for side, path in sides.items():
        records += _records(contents[side], path, side, folder, len(skeleton), on_error, left_out)
    skeleton = _completed(skeleton, sigmas, default_sigma, pairs, upper, lower)
    return Annotations(records, skeleton, left_out, fingerprint(list(sides.values())), tuple(sides.values()))


@dataclass(frozen=True)
class NamedPose:
    """An annotation without its photograph.

    Args:
        keypoints: [K, 2] in image pixels.
        visible: [K].
        area: in square pixels; the box's where the file gives none.
        source: file and record, for messages.
    """

    keypoints: NDArray[np.float64]
    visible: NDArray[np.bool_]
    area: float
    source: str


def read_poses(path: Path) -> tuple[tuple[str, ...], dict[str, list[NamedPose]]]:
    """Read one COCO keypoint file without looking for its photographs.

    Returns:
        The keypoints' names, and the poses by the photograph's file name.

    Raises:
        InputError: the file or one of its records cannot be used.
    """
    content = read_json(path)
    names = _skeleton(content, path).names
    images = [parse(_Image, raw, f"{path}: images[{n}]") for n, raw in enumerate(listed(content, "images", path))]
    files = {image.id: image.file_name for image in images}
    poses: dict[str, list[NamedPose]] = {}
    for number, raw in enumerate(listed(content, "annotations", path)):
        if isinstance(raw, dict) and _without_pose(raw):
            continue
        source = f"{path}: annotations[{number}]"
        annotation = parse(_Annotation, raw, source)
        if annotation.image_id not in files:
            raise InputError(f"{source}: image_id {annotation.image_id!r} is not among the file's images")
        values = _keypoint_values(annotation, len(names), source)
        area = annotation.area or annotation.bbox[2] * annotation.bbox[3]
        pose = NamedPose(values[:, :2], values[:, 2] > 0, area, source)
        poses.setdefault(files[annotation.image_id], []).append(pose)
    return names, poses


def _records(
    content: dict[str, Any],
    path: Path,
    side: str,
    folder: Path,
    count: int,
    on_error: str,
    left_out: Counter[str],
) -> list[PoseRecord]:
    images: dict[int | str, _Image] = {}
    for number, raw in enumerate(listed(content, "images", path)):
        with tolerating(on_error, left_out):
            source = f"{path}: images[{number}]"
            image = parse(_Image, raw, source)
            add_once(images, image.id, image, "image", source)
    categories = set(_categories(content, path))
    records: dict[str, PoseRecord] = {}
    for number, raw in enumerate(listed(content, "annotations", path)):
        if isinstance(raw, dict) and _without_pose(raw):
            left_out["annotations without a pose"] += 1
            continue
        with tolerating(on_error, left_out):
            source = f"{path}: annotations[{number}]"
            annotation = parse(_Annotation, raw, source)
            if annotation.category_id not in categories:
                raise InputError(f"{source}: category_id {annotation.category_id!r} is not among the file's categories")
            name = f"{side}:{annotation.id}"
            if name in records:
                raise InputError(f"{source}: the annotation id {annotation.id} occurs twice in the file")
            records[name] = _record(annotation, name, images, folder, count, source, side, left_out)
    return list(records.values())


def _without_pose(raw: dict[str, Any]) -> bool:
    keypoints = raw.get("keypoints")
    return not keypoints or (isinstance(keypoints, list) and not any(keypoints[2::3]))


def _record(
    annotation: _Annotation,
    name: str,
    images: dict[int | str, _Image],
    folder: Path,
    count: int,
    source: str,
    side: str,
    left_out: Counter[str],
) -> PoseRecord:
    image = images.get(annotation.image_id)
    if image is None:
        raise InputError(f"{source}: image_id {annotation.image_id!r} is not among the file's images")
    values = _keypoint_values(annotation, count, source)
    return make_record(
        id=name,
        image_id=image.id,
        image_path=find_image(folder, [image.file_name], source),
        image_size=(image.width, image.height),
        box=annotation.bbox,
        keypoints=values[:, :2],
        labelled=values[:, 2] > 0,
        area=annotation.area,
        source=source,
        left_out=left_out,
        subsets={SPLIT: side},
    )


def _keypoint_values(annotation: _Annotation, count: int, source: str) -> NDArray[np.float64]:
    """Return [K, 3]: x, y, visibility."""
    if len(annotation.keypoints) != 3 * count:
        raise InputError(
            f"{source}: has {len(annotation.keypoints)} keypoint numbers where the category's {count} keypoints "
            f"need {3 * count} (x, y, visibility)"
        )
    return np.asarray(annotation.keypoints).reshape(count, 3)


def _categories(content: dict[str, Any], path: Path) -> dict[int | str, _Category]:
    """Read the categories and check what they say of keypoints."""
    categories: dict[int | str, _Category] = {}
    for number, raw in enumerate(listed(content, "categories", path)):
        source = f"{path}: categories[{number}]"
        category = parse(_Category, raw, source)
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


def _skeleton(content: dict[str, Any], path: Path) -> Skeleton:
    """Take names and limbs from the categories that the annotations use; they must agree."""
    named = (raw.get("category_id") for raw in listed(content, "annotations", path) if isinstance(raw, dict))
    used = {name for name in named if isinstance(name, int | str)}
    categories = _categories(content, path)
    described = {(category.keypoints, category.skeleton) for name, category in categories.items() if name in used}
    described = {(names, limbs) for names, limbs in described if names}
    if len({names for names, _ in described}) != 1:
        raise InputError(
            f"{path}: its annotations use categories with {len(described)} different keypoint lists; one is needed"
        )
    names, limbs = next(iter(described))
    if names == ANIMAL_POSE_20.names:
        return ANIMAL_POSE_20
    base = _first_number(limbs)
    edges = tuple((start - base, end - base) for start, end in limbs)
    return Skeleton(names, mirrored_pairs(names), edges, (), (), (1.0,) * len(names))


def _completed(
    skeleton: Skeleton,
    sigmas: float | Sequence[float] | None,
    default_sigma: float,
    pairs: Sequence[Sequence[str]] | None,
    upper: Sequence[str],
    lower: Sequence[str],
) -> Skeleton:
    """Add what a COCO file does not say and the configuration does."""

    def indices(names: Sequence[str]) -> tuple[int, ...]:
        for name in names:
            if name not in skeleton.names:
                raise InputError(f"keypoint name '{name}' is unknown; known are {', '.join(skeleton.names)}")
        return tuple(skeleton.names.index(name) for name in names)

    if skeleton == ANIMAL_POSE_20:
        return skeleton.with_sigmas(sigmas) if sigmas is not None else skeleton
    if sigmas is None:
        log.warning(
            "no OKS sigmas are known for these %d keypoints: %s is used for each, so AP compares runs on this "
            "dataset and nothing else. Set data.sigmas to change that",
            len(skeleton),
            default_sigma,
        )
    return Skeleton(
        names=skeleton.names,
        pairs=skeleton.pairs if pairs is None else tuple((indices(pair)[0], indices(pair)[1]) for pair in pairs),
        limbs=skeleton.limbs,
        upper=indices(upper),
        lower=indices(lower),
        sigmas=(1.0,) * len(skeleton),
    ).with_sigmas(default_sigma if sigmas is None else sigmas)
