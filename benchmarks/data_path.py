"""Training samples a second and core: images in, batches of crops out.

The peer is MMPose's training pipeline with the same augmentation, on the whole image as the thesis had it. Its
samples carry float images and heatmaps, ours bytes and coordinates; the line «and targets» makes those of ours, too.
"""

import functools
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from measure import Figure, arguments, in_turn, rate, report, started_peer

from lynx_pose.config import CONF
from lynx_pose.data.annotations import Annotations, PoseRecord
from lynx_pose.data.crop import CropConvention, warp
from lynx_pose.data.dataset import CropDataset, PoseBatch
from lynx_pose.data.image_cache import ImageCache, region_bounds
from lynx_pose.data.image_source import SourceImage
from lynx_pose.data.readers import lynx_pose_raw
from lynx_pose.data.synthetic.synthetic_dataset import read as read_drawn
from lynx_pose.models.heads.base import CodecHead
from lynx_pose.models.pose_net import build_net
from lynx_pose.training.build import build_augmentation

SIZE = (256, 256)
BATCH = 32
GROUPS = ("geometric", "color", "blur", "noise", "weather")


class Loader:
    """Batches of one dataset and augmentation, of ever new epochs."""

    def __init__(self, annotations: Annotations, cache: ImageCache, aug: str, *overrides: str):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", overrides=["model=tiny", f"aug={aug}", *overrides])
        augmentation, self.net = build_augmentation(cfg), build_net(cfg, len(annotations.skeleton))
        records = annotations.records
        self.dataset = CropDataset(records, annotations.skeleton, SIZE, CropConvention.CLASSIC, augmentation, 0, cache)
        self.drawn = 0

    def batch(self) -> PoseBatch:
        """Return the next batch."""
        keys = [divmod(self.drawn + number, len(self.dataset)) for number in range(BATCH)]
        self.drawn += BATCH
        return self.dataset.__getitems__(keys)

    def step(self) -> int:
        """Make a batch."""
        return len(self.batch().image)

    def step_with_targets(self) -> int:
        """Make a batch, its float images and its heatmaps."""
        batch = self.batch()
        self.net.normalize(batch.image)
        assert isinstance(self.net.head, CodecHead)
        self.net.head.codec.encode(batch.keypoints, batch.visible.float())
        return len(batch.image)


def enlarged(annotations: Annotations, folder: Path, megapixels: float) -> Annotations:
    """Write the images again, as a camera with more pixels would have."""
    return replace(annotations, records=[_enlarged(record, folder, megapixels) for record in annotations.records])


def _enlarged(record: PoseRecord, folder: Path, megapixels: float) -> PoseRecord:
    factor = (megapixels * 1e6 / np.prod(record.image_size)) ** 0.5
    big = cv2.resize(SourceImage(record).whole, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    path = folder / record.image_path.name
    cv2.imwrite(str(path), big[..., ::-1])
    size = (big.shape[1], big.shape[0])
    return replace(
        record, image_path=path, image_size=size, box=record.box * factor, keypoints=record.keypoints * factor
    )


def peer_records(annotations: Annotations) -> str:
    """Describe the records to the peer."""
    records = [
        {
            "path": str(record.image_path.resolve()),
            "box": record.box.tolist(),
            "keypoints": record.keypoints.tolist(),
            "visible": record.visible.tolist(),
        }
        for record in annotations.records
    ]
    return json.dumps({"records": records, "flip": annotations.skeleton.flip_indices})


def main() -> None:
    """Measure and report."""
    parser = arguments(__doc__)
    parser.add_argument("--data", help="a folder in the raw Lynx-Pose format; default: 64 drawn images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        annotations = lynx_pose_raw.read(options.data) if options.data else read_drawn(name, 64, 0)
        cache = ImageCache(folder / "cache", 20)
        cache.prepare(annotations.records)
        figures = beside_mmpose(annotations, cache, folder, options.peer_python, options.rounds)
        figures += other_ways(annotations, cache)
        if options.data:
            figures += large_images(annotations, cache, folder, options.rounds)
    report("data path", figures)


def beside_mmpose(
    annotations: Annotations, cache: ImageCache, folder: Path, peer_python: str | None, rounds: int
) -> list[Figure]:
    """Measure each augmentation group in turn with MMPose."""
    description = folder / "records.json"
    description.write_text(peer_records(annotations))
    figures = []
    with started_peer(peer_python, "mmpose_data_path.py", str(description)) as peer:
        for aug in GROUPS:
            ours = functools.partial(rate, Loader(annotations, cache, aug).step)
            speed, theirs = in_turn(ours, functools.partial(peer.rate, aug), rounds)
            limit, name = (sampling_rate(annotations, cache), "sampling alone") if aug == "geometric" else (None, "")
            figures.append(Figure(f"aug={aug}", speed, "images/s", theirs, "MMPose", limit, name))
    return figures


def other_ways(annotations: Annotations, cache: ImageCache) -> list[Figure]:
    """Measure what comes on top on a CPU, and the thesis's own stage."""
    with_targets = Loader(annotations, cache, "geometric").step_with_targets
    on_image = Loader(annotations, cache, "color", "aug.stage=image").step
    return [
        Figure("aug=geometric, and targets", rate(with_targets)),
        Figure("aug=color aug.stage=image", rate(on_image)),
    ]


def large_images(annotations: Annotations, cache: ImageCache, folder: Path, rounds: int) -> list[Figure]:
    """Measure images of 20 megapixels in turn with the same as they are."""
    big = enlarged(annotations, folder, 20)
    cache.prepare(big.records)
    figures = []
    for aug in GROUPS[:2]:
        large, small = (functools.partial(rate, Loader(data, cache, aug).step) for data in (big, annotations))
        speed, theirs = in_turn(large, small, 2 * rounds)
        figures.append(Figure(f"aug={aug}, 20 megapixels", speed, "images/s", theirs, "ours as they are"))
    return figures


def sampling_rate(annotations: Annotations, cache: ImageCache) -> float:
    """Sample the same crop of each animal over and over."""
    cuts = [cache(record).around(region_bounds(record)).pixels for record in annotations.records]
    matrices = [np.array([[256 / cut.shape[1], 0, 0], [0, 256 / cut.shape[0], 0]]) for cut in cuts]

    def work() -> int:
        for cut, matrix in zip(cuts, matrices, strict=True):
            warp(cut, matrix, SIZE)
        return len(cuts)

    return rate(work)


if __name__ == "__main__":
    main()
