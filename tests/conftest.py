"""What several tests need: the reference files, real photographs where they are, and small datasets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("WANDB_SILENT", "true")

import cv2
import numpy as np
import pytest

from lynx_pose.data.skeleton import LYNX_POSE_NAMES

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LYNX_POSE_SHARED", REPOSITORY.parent / "shared"))


def _shared(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not here; set LYNX_POSE_SHARED to the folder that holds data/ and reference/")
    return path


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """Values computed by the tools that the thesis used."""
    return lambda name: _shared("reference", name)


@pytest.fixture(scope="session")
def lynx3() -> Path:
    """Three real photographs of lynxes in the raw Lynx-Pose format."""
    return _shared("data", "lynx3")


@pytest.fixture(scope="session")
def openfield() -> Path:
    """116 real frames of a mouse in COCO format."""
    return _shared("data", "openfield")


@pytest.fixture(scope="session")
def samples() -> Path:
    """A few real photographs of five public animal pose datasets."""
    return _shared("data", "samples")


def lynx_pose_content(count: int, size: tuple[int, int] = (96, 64)) -> dict[str, Any]:
    """Return the content of a raw Lynx-Pose file: `count` photographs with one lynx each."""
    width, height = size
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(count):
        name = f"Traps/{number:03d}"
        images.append({"id": name, "file_name": f"{number:03d}.jpg", "width": width, "height": height})
        points = rng.uniform((12, 12), (width - 13, height - 13), (20, 2)).round(1)
        annotations.append(
            {
                "image_id": name,
                "type": "polygon",
                "label": "lynx",
                "attributes": {"orientation": "left", "name": f"lynx-{number % 3}", "identifiable": "yes"},
                "bbox": [10, 10, width - 20, height - 20],
                "polygon": [10, 10, width - 10, 10, width - 10, height - 10],
                "keypoints": dict(zip(LYNX_POSE_NAMES, points.tolist(), strict=True)),
            }
        )
    return {"info": {}, "images": images, "annotations": annotations}


def write_lynx_pose(folder: Path, content: dict[str, Any], size: tuple[int, int] = (96, 64)) -> Path:
    """Write a raw Lynx-Pose dataset with photographs that show its keypoints as coloured dots."""
    width, height = size
    (folder / "Traps").mkdir(parents=True, exist_ok=True)
    poses = {annotation["image_id"]: annotation.get("keypoints", {}) for annotation in content["annotations"]}
    for image in content["images"]:
        picture = np.full((height, width, 3), 90, np.uint8)
        for index, name in enumerate(LYNX_POSE_NAMES):
            if name in (poses.get(image["id"]) or {}):
                x, y = poses[image["id"]][name]
                color = (index * 12, 255 - index * 12, 40 + index * 9)
                cv2.circle(picture, (round(x), round(y)), 3, color, -1)
        cv2.imwrite(str(folder / f"{image['id']}.jpg"), picture)
    (folder / "metadata_cleaned.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def small_lynx(tmp_path: Path) -> Path:
    """A raw Lynx-Pose dataset of six small pictures, good in every respect."""
    return write_lynx_pose(tmp_path / "lynx", lynx_pose_content(6))
