"""A training step of MMPose 1.3.2's networks in float32, from crops to updated weights."""

import json
import sys
import time
from collections.abc import Callable

import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models import build_pose_estimator
from mmpose.structures import PoseDataSample
from mmpose_networks import config_of

BATCH = 8


def data_sample() -> PoseDataSample:
    """Return one image's targets."""
    sample = PoseDataSample()
    sample.gt_fields = PixelData(heatmaps=torch.rand(20, 64, 64))
    sample.gt_instance_labels = InstanceData(keypoint_weights=torch.ones(1, 20))
    return sample


def step_of(name: str) -> Callable[[], None]:
    """Return a function that trains on a batch."""
    model = build_pose_estimator(config_of(name).model).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    inputs = [torch.randint(0, 256, (3, 256, 256), dtype=torch.uint8) for _ in range(BATCH)]
    samples = [data_sample() for _ in range(BATCH)]

    def step() -> None:
        data = model.data_preprocessor({"inputs": inputs, "data_samples": samples}, training=True)
        losses = model.loss(**data)
        optimizer.zero_grad()
        losses["loss_kpt"].backward()
        optimizer.step()

    return step


def main() -> None:
    """Answer requests for rates."""
    steps: dict[str, Callable[[], None]] = {}
    for line in sys.stdin:
        (name,) = json.loads(line)
        if name not in steps:
            steps[name] = step_of(name)
            steps[name]()
        done, start = 0, time.perf_counter()
        while time.perf_counter() - start < 8:
            steps[name]()
            done += BATCH
        print(f"RATE {done / (time.perf_counter() - start)}", flush=True)


if __name__ == "__main__":
    main()
