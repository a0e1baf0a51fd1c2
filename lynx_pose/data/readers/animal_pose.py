"""Animal-Pose (Cao et al. 2019, arXiv 1908.05806): five species with our 20 keypoints.

MMPose publishes its annotations as COCO files with a split. The authors' own file, `keypoints.json`, has another order
of keypoints, boxes as corners and no image sizes; it is turned into COCO's form here.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image

from lynx_pose.data.annotations import Annotations
from lynx_pose.data.readers.coco_keypoints import read_contents
from lynx_pose.data.skeleton import ANIMAL_POSE_20
from lynx_pose.errors import InputError
from lynx_pose.formats.coco import category_entry
from lynx_pose.formats.parsing import (
    Box,
    Fields,
    Finite,
    existing_folder,
    find_image,
    listed,
    parse,
    read_annotation_file,
    skipping_bad_records,
)

# How the authors' file calls the keypoints of ANIMAL_POSE_20, in our order.
AUTHORS_NAMES = (
    "left_eye", "right_eye", "left_ear", "right_ear", "nose", "throat", "tailbase", "withers",
    "left_front_elbow", "right_front_elbow", "left_back_elbow", "right_back_elbow",
    "left_front_knee", "right_front_knee", "left_back_knee", "right_back_knee",
    "left_front_paw", "right_front_paw", "left_back_paw", "right_back_paw",
)  # fmt: skip  # in the order of the body, several a row


class _AuthorsCategory(Fields):
    id: int
    name: str
    keypoints: tuple[str, ...]


class _AuthorsAnnotation(Fields):
    image_id: int
    category_id: int
    bbox: Box
    keypoints: tuple[tuple[Finite, Finite, Finite], ...]


def read(root: str, train: str, val: str | None, images: str = "images", on_error: str = "raise") -> Annotations:
    """Read Animal-Pose.

    Args:
        root: folder that holds the annotations and, under it, the images.
        train: annotation file under `root`: of the training side in COCO's form, or the authors' `keypoints.json`.
        val: COCO file of the validation side; beside `keypoints.json` it says which images are validated on, and None
            leaves the split to `data.split`.
        images: folder of the images under `root`.
        on_error: `raise` stops at the first bad record, `skip` counts it and goes on.

    Raises:
        InputError: a folder, a file or (with `raise`) a record cannot be used.
    """
    folder = existing_folder(root, "data.root")
    pictures = existing_folder(folder / images, "data.images")
    paths = {"train": folder / train} | ({"val": folder / val} if val else {})
    contents = {side: read_annotation_file(path) for side, path in paths.items()}
    skipped: Counter[str] = Counter()
    if isinstance(contents["train"].get("images"), dict):
        path = paths["train"]
        whole = _to_coco(contents["train"], path, pictures, on_error, skipped)
        listing = listed(contents["val"], "images", paths["val"]) if val else ()
        chosen = {Path(str(image.get("file_name"))).name for image in listing}
        held_out = {image["id"] for image in whole["images"] if Path(image["file_name"]).name in chosen}
        contents = {"train": _without_images(whole, held_out)}
        if val:
            contents["val"] = _without_images(whole, {image["id"] for image in whole["images"]} - held_out)
        paths = dict.fromkeys(paths, path)
    annotations = read_contents(contents, paths, pictures, on_error)
    annotations.skipped.update(skipped)
    return annotations


def _without_images(content: dict[str, Any], ids: set[int]) -> dict[str, Any]:
    """Return a dataset without some of its images and what is annotated in them."""
    return content | {
        "images": [image for image in content["images"] if image["id"] not in ids],
        "annotations": [one for one in content["annotations"] if one["image_id"] not in ids],
    }


def _to_coco(
    content: dict[str, Any], path: Path, pictures: Path, on_error: str, skipped: Counter[str]
) -> dict[str, Any]:
    """Turn the authors' form into COCO's, with our order of keypoints; `skipped` counts bad records."""
    categories = [
        parse(_AuthorsCategory, raw, f"{path}: categories[{index}]")
        for index, raw in enumerate(listed(content, "categories", path))
    ]
    orders = {category.id: _order(category, path) for category in categories}
    images, annotations = [], []
    for key, name in content["images"].items():
        with skipping_bad_records(on_error, skipped):
            images.append(_coco_image(key, str(name), pictures, f"{path}: images[{key}]"))
    for index, raw in enumerate(listed(content, "annotations", path)):
        with skipping_bad_records(on_error, skipped):
            annotations.append({"id": index} | _coco_annotation(raw, orders, f"{path}: annotations[{index}]"))
    described = category_entry(ANIMAL_POSE_20)
    return {
        "images": images,
        "annotations": annotations,
        "categories": [described | {"id": category.id, "name": category.name} for category in categories],
    }


def _coco_image(key: str, name: str, pictures: Path, source: str) -> dict[str, Any]:
    """Return an entry of `images`; the authors' file does not say how large an image is."""
    if not key.isdecimal():
        raise InputError(f"{source}: the key of an image must be its number")
    path = find_image(pictures, [name], source)
    try:
        with Image.open(path) as image:
            return {"id": int(key), "file_name": name, "width": image.width, "height": image.height}
    except OSError as error:
        raise InputError(f"{source}: {path} is not an image that can be read ({error})") from None


def _coco_annotation(raw: Any, orders: dict[int, list[int]], source: str) -> dict[str, Any]:
    """Return an entry of `annotations` without its id, given the order of each category's keypoints."""
    one = parse(_AuthorsAnnotation, raw, source)
    if one.category_id not in orders or len(one.keypoints) != len(ANIMAL_POSE_20):
        raise InputError(
            f"{source}: has category {one.category_id} and {len(one.keypoints)} keypoints; "
            f"known are {sorted(orders)} with {len(ANIMAL_POSE_20)}"
        )
    left, top, right, bottom = one.bbox
    return {
        "image_id": one.image_id,
        "category_id": one.category_id,
        "bbox": [left, top, right - left, bottom - top],
        "keypoints": [value for position in orders[one.category_id] for value in one.keypoints[position]],
    }


def _order(category: _AuthorsCategory, path: Path) -> list[int]:
    """Return where each of our keypoints stands in a category's list."""
    for names in (AUTHORS_NAMES, ANIMAL_POSE_20.names):
        if set(names) == set(category.keypoints):
            return [category.keypoints.index(name) for name in names]
    raise InputError(
        f"{path}: the keypoints of {category.name} are {', '.join(category.keypoints)}, not those of Animal-Pose"
    )
