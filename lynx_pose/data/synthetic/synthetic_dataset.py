"""Writes the synthetic images with their annotations in the raw Lynx-Pose format, and reads them."""

import json
import logging
import multiprocessing
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
from filelock import FileLock
from rich.progress import track

from lynx_pose.arrays import Floats, Mask
from lynx_pose.data.annotations import Annotations
from lynx_pose.data.readers import lynx_pose_raw
from lynx_pose.data.skeleton import LYNX_POSE_NAMES
from lynx_pose.data.synthetic.synthetic_image import SyntheticAnimal, SyntheticImage, render_image
from lynx_pose.errors import InputError
from lynx_pose.machine import usable_cores

log = logging.getLogger(__name__)

# Raised whenever the pictures or their annotations change, so that older ones are not mistaken for them.
VERSION = 4
ANNOTATIONS = "metadata_cleaned.json"
# Of data.proportions: beyond it, flesh and bones no longer fit.
MOST_UNLIKE = 0.4
# Of data.animals.
MOST_ANIMALS = 5


def read(
    root: str,
    count: int,
    seed: int = 0,
    burst: int = 1,
    proportions: float = 0.0,
    on_error: str = "raise",
    animals: Sequence[int] | None = None,
) -> Annotations:
    """Read the synthetic dataset, after drawing it if this is the first time.

    Args:
        root: folder for all synthetic datasets; each count and seed has its own folder in it.
        count: number of images.
        seed: of the drawing.
        burst: images of one encounter.
        proportions: by which share an individual's bones may be longer or shorter than others'.
        on_error: as for the Lynx-Pose reader.
        animals: fewest and most in an image; None has one, seldom two.
    """
    folder = ensure_drawn(Path(root).expanduser(), count, seed, burst, proportions, animals)
    return lynx_pose_raw.read(str(folder), ANNOTATIONS, on_error)


def ensure_drawn(
    root: Path,
    count: int,
    seed: int,
    burst: int = 1,
    proportions: float = 0.0,
    animals: Sequence[int] | None = None,
) -> Path:
    """Return the folder of the dataset; draw it first, once however many processes ask for it."""
    if count < 2:
        raise InputError(f"data.images={count}: at least 2 synthetic images are needed")
    if burst < 1:
        raise InputError(f"data.burst={burst}: an encounter has at least 1 image")
    if not 0 <= proportions <= MOST_UNLIKE:
        raise InputError(f"data.proportions={proportions}: must be between 0 and {MOST_UNLIKE}")
    if animals is not None and (len(animals) != 2 or not 1 <= animals[0] <= animals[1] <= MOST_ANIMALS):
        raise InputError(f"data.animals={list(animals)}: fewest and most, from 1 to {MOST_ANIMALS}, such as [1,3]")
    crowd = None if animals is None else (animals[0], animals[1])
    variant = f"{f'-burst{burst}' if burst > 1 else ''}{f'-proportions{proportions:g}' if proportions else ''}"
    variant += f"-animals{crowd[0]}to{crowd[1]}" if crowd else ""
    folder = root / f"synthetic-v{VERSION}-seed{seed}-{count}{variant}"
    if not folder.is_dir():
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / f".{folder.name}.lock"):
                if not folder.is_dir():
                    _draw(folder, count, seed, burst, proportions, crowd)
        except OSError as error:
            raise InputError(f"data.root={root}: the synthetic images cannot be written ({error})") from error
    return folder


def _draw(folder: Path, count: int, seed: int, burst: int, proportions: float, animals: tuple[int, int] | None) -> None:
    """Draw into a draft folder and rename it, so that a half-drawn dataset is never seen."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    (draft / "LynxID" / "Synthetic").mkdir(parents=True)
    log.info("drawing %d synthetic images into %s", count, folder)
    tasks = [(draft, seed, number, burst, proportions, animals) for number in range(count)]
    # Fresh processes: forking one that has started torch's threads can hang.
    with ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("spawn")) as pool:
        drawn = list(track(pool.map(_draw_one, tasks, chunksize=8), "drawing images", total=count))
    content = {
        "info": {"description": "lynx_pose synthetic images", "version": VERSION, "seed": seed},
        "images": [image for image, _ in drawn],
        "annotations": [annotation for _, annotations in drawn for annotation in annotations],
    }
    (draft / ANNOTATIONS).write_text(json.dumps(content), encoding="utf-8")
    draft.replace(folder)


def _draw_one(
    task: tuple[Path, int, int, int, float, tuple[int, int] | None],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder, seed, number, burst, proportions, animals = task
    cv2.setNumThreads(1)
    rendered = render_image(seed, number, burst, proportions, animals)
    image_id = f"LynxID/Synthetic/{number:05d}"
    path = folder / f"{image_id}.jpg"
    cv2.imwrite(str(path), cv2.cvtColor(rendered.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    height, width = rendered.image.shape[:2]
    image = {"id": image_id, "file_name": path.name, "width": width, "height": height}
    image |= {"place": f"trap-{rendered.trap:02d}", "sequence": f"{number // burst:05d}", "light": rendered.light}
    return image, [_annotation(image_id, rendered, animal) for animal in rendered.animals]


def _annotation(image_id: str, image: SyntheticImage, animal: SyntheticAnimal) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "image_id": image_id,
        "type": "polygon",
        "label": "lynx",
        "attributes": {
            "orientation": animal.orientation,
            "name": animal.name,
            "identifiable": "yes" if animal.name else "no",
        },
        "bbox": animal.box,
        "polygon": animal.polygon,
        "keypoints_3d": {
            name: [round(float(value), 5) for value in point]
            for name, point in zip(LYNX_POSE_NAMES, animal.points, strict=True)
        },
        "pixels_per_metre": round(animal.pixels_per_metre, 4),
    }
    if image.blurred:
        return annotation | {"tag": "NOT_FOR_POSE"}
    hidden = [name for name, covered in zip(LYNX_POSE_NAMES, animal.occluded & animal.labelled, strict=True) if covered]
    return annotation | {"keypoints": _named(animal.keypoints, animal.labelled), "occluded": hidden}


def _named(keypoints: Floats, labelled: Mask) -> dict[str, list[float]]:
    return {
        name: [round(float(x), 2), round(float(y), 2)]
        for name, (x, y), shown in zip(LYNX_POSE_NAMES, keypoints, labelled, strict=True)
        if shown
    }
