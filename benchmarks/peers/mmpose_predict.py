"""Poses of MMPose 1.3.2's networks in images, by the pipeline that its inferencer calls, in batches."""

import json
import sys
import time
from pathlib import Path

import mmpose
import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmpose.models import build_pose_estimator
from mmpose_networks import METAINFO, config_of

BATCH = 16


class Predictor:
    """MMPose's validation pipeline and network, called as its inferencer calls them."""

    def __init__(self, name: str, jobs: list[tuple[str, list[float]]]):
        config = config_of(name)
        self.model = build_pose_estimator(config.model).eval()
        self.meta = mmpose.datasets.datasets.utils.parse_pose_metainfo({"from_file": str(METAINFO)})
        self.pipeline = Compose(config.val_dataloader.dataset.pipeline)
        self.jobs = jobs

    def __call__(self) -> int:
        """Find the poses in all images."""
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
