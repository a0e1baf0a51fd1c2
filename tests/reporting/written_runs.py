"""Run folders as training would have written them, without training."""

import json

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lynx_pose.config import CONF


def write_run(folder, data, model, augmentation, ap, epoch, status="completed", changes=None, more=()):
    group = ["fit=false", "aug=none"] if augmentation == "baseline" else [f"aug={augmentation}"]
    overrides = [f"model={model}", *group, *more]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=[*overrides, "data=lynx", f"data.root={data}", "data.split=shared"])
    (folder / ".hydra").mkdir(parents=True)
    OmegaConf.save(config, folder / ".hydra" / "config.yaml")
    summary = {
        "name": f"{model}-{augmentation}",
        "status": status,
        "overrides": overrides,
        "choices": {"aug/geometry": "mmpose"},
        "data": {"name": "lynx", "fingerprint": "f", "split": "shared", "train": 4, "val": 4, "skipped": {}},
        "seconds": 12.5,
        "best": {"epoch": epoch, "AP": ap, "AP50": 0.99, "AP75": 0.9, "AR": 0.88}
        | {"mean_error_px": 5.0, "median_error_px": 4.0},
    } | (changes or {})
    (folder / "summary.json").write_text(json.dumps(summary))
    lines = ["epoch,val/AP", *(f"{number},{ap * number / epoch}" for number in range(1, epoch + 1))]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_predictions(file, content, shift):
    """Poses that are off by `shift` pixels to the right, and by twice that for the second animal."""
    poses = []
    for number, annotation in enumerate(content["annotations"]):
        moved = shift * (2 if number == 1 else 1)
        points = np.array(list(annotation["keypoints"].values())) + np.array([moved, 0])
        rows = np.column_stack([points, np.full(20, 0.9)])
        poses.append({"instance": str(number), "keypoints": rows.ravel().tolist()})
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(poses))
