"""Writes small datasets whose pictures show where their keypoints are."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lynx_pose.data.skeleton import LYNX_POSE_NAMES


def lynx_pose_content(count: int, size: tuple[int, int] = (96, 64)) -> dict[str, Any]:
    """Return the content of a raw Lynx-Pose file: `count` images with one lynx each."""
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
    """Write a raw Lynx-Pose dataset with images that show its keypoints as coloured dots."""
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
