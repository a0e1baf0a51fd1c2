"""Where an epoch's time goes, by part: python benchmarks/epoch_profile.py model=r50 aug=color data=...

Takes the options of lynx_pose.train. Each part is timed by itself in this process, without loading processes, so the
parts of the data path are those of one of them.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch.optim import Optimizer

from lynx_pose.augment.pipeline import plain_crop
from lynx_pose.config import CONF, instantiate
from lynx_pose.data.dataset import CropDataset, PoseBatch
from lynx_pose.data.image import read_checked
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import build_datamodule, build_task, read_annotations
from lynx_pose.training.task import PoseTask, to_image_pixels

BATCHES = 4


class Clock:
    """Seconds by part."""

    def __init__(self, device: torch.device):
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of a block to a part; on a GPU wait until it has done the work."""
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[name] += time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=sys.argv[1:])
    annotations = read_annotations(cfg)
    net = build_net(cfg, len(annotations.skeleton))
    datamodule = build_datamodule(cfg, annotations, net.head.crop_convention)
    datamodule.setup("fit")
    task = build_task(cfg, net, datamodule)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task.to(device)
    optimizer, dataset = instantiate(cfg.optimizer)(net.parameters()), datamodule.train_dataloader().dataset
    assert isinstance(dataset, CropDataset)
    clock = Clock(device)
    images = 0
    for number in range(-1, BATCHES):
        if number == 0:
            clock.seconds.clear()
            images = 0
        images += epoch_step(task, optimizer, dataset, clock, number + 1, cfg)
    with clock.part("metrics"):
        task.metric.compute()
    print_parts(clock, images)


def epoch_step(
    task: PoseTask, optimizer: Optimizer, dataset: CropDataset, clock: Clock, number: int, cfg: DictConfig
) -> int:
    """Take one batch through all parts and return its size."""
    size = min(cfg.loader.batch_size, len(dataset))
    keys = [divmod(number * size + index, len(dataset)) for index in range(size)]
    records = [dataset.records[position] for _, position in keys]
    with clock.part("decode images (without the cache)"):
        for record in records:
            read_checked(record.image_path, record.image_size, record.source)
    with clock.part("geometry, warp and photometric"):
        batch = dataset.__getitems__(keys)
    with clock.part("of it, warp"):
        for record, matrix in zip(records, batch.matrix.numpy(), strict=True):
            plain_crop(dataset.images(record), matrix, dataset.input_size)
    with clock.part("copy to the device"):
        batch = type(batch)(*(values.to(clock.device) for values in batch))
    train_step(task, optimizer, batch, clock, cfg.trainer.precision)
    return size


def train_step(task: PoseTask, optimizer: Optimizer, batch: PoseBatch, clock: Clock, precision: str) -> None:
    """Take a batch through the network and the metric."""
    weight = batch.visible * task.keypoint_weights
    with clock.part("forward"), torch.autocast(clock.device.type, torch.bfloat16, enabled="bf16" in precision):
        output = task.net(batch.image)
    with clock.part("encode targets and loss"):
        loss = task.net.head.loss(output, batch.keypoints, weight)
    with clock.part("backward"):
        loss.backward()
    with clock.part("optimiser"):
        optimizer.step()
        optimizer.zero_grad()
    with clock.part("decode heatmaps"), torch.no_grad():
        keypoints, scores = task.net.head.decode(output.detach())
        found = to_image_pixels(keypoints, batch.matrix)
    count = len(task.metric.records)
    task.metric.update(torch.arange(len(found)) % count, found, scores)


def print_parts(clock: Clock, images: int) -> None:
    """Print milliseconds an image and shares of the whole."""
    table = Table("part", "ms an image", title=f"{images} images, batches of {images // BATCHES}, {clock.device}")
    for name, seconds in clock.seconds.items():
        table.add_row(name, f"{1000 * seconds / images:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
