"""Poses of MMPose 1.3.2's networks in photographs, one file and one box at a time, as its inferencer finds them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import mmpose
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.models import build_pose_estimator

init_default_scope("mmpose")
CONFIGS = Path(mmpose.__file__).parent / ".mim/configs/animal_2d_keypoint/topdown_heatmap/animalpose"
NAMES = {
    "r50": "td-hm_res50_8xb64-210e_animalpose-256x256.py",
    "hrnet": "td-hm_hrnet-w32_8xb64-210e_animalpose-256x256.py",
}
BATCH = 16


class Predictor:
    """MMPose's validation pipeline and network, called as its inferencer calls them."""

    def __init__(self, name: str, jobs: list[tuple[str, list[float]]]):
        config = Config.fromfile(str(CONFIGS / NAMES[name]))
        config.model.backbone.init_cfg = None
        self.model = build_pose_estimator(config.model).eval()
        self.meta = mmpose.datasets.datasets.utils.parse_pose_metainfo({"from_file": _metainfo()})
        self.pipeline = Compose(config.val_dataloader.dataset.pipeline)
        self.jobs = jobs

    def __call__(self) -> int:
        """Find the poses in all photographs."""
        for start in range(0, len(self.jobs), BATCH):
            samples = [self._sample(path, box) for path, box in self.jobs[start : start + BATCH]]
            with torch.no_grad():
                self.model.test_step(pseudo_collate(samples))
        return len(self.jobs)

    def _sample(self, path: str, box: list[float]) -> dict:
        x, y, width, height = box
        corners = np.array([[x, y, x + width, y + height]], dtype=np.float32)
        sample = {"img_path": path, "bbox": corners, "bbox_score": np.ones(1, np.float32)}
        return self.pipeline(sample | self.meta)


def _metainfo() -> str:
    return str(CONFIGS.parents[2] / "_base_" / "datasets" / "animalpose.py")


def main() -> None:
    """Answer requests for rates."""
    jobs = json.loads(Path(sys.argv[1]).read_text())
    predictors: dict[str, Predictor] = {}
    for line in sys.stdin:
        (name,) = json.loads(line)
        if name not in predictors:
            predictors[name] = Predictor(name, jobs)
            predictors[name]()
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < 8:
            done += predictors[name]()
        print(f"RATE {done / (time.perf_counter() - start)}", flush=True)


if __name__ == "__main__":
    main()
