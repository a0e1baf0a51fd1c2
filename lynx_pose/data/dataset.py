"""Samples: a record becomes a crop with its keypoints in crop pixels."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from lynx_pose.data.augment.geometry import View
from lynx_pose.data.augment.pipeline import Augmentation
from lynx_pose.data.crop import Matrix, WarpMatrix, compose, crop_box, mirror_matrix, transform_points
from lynx_pose.data.photograph import PhotographFiles, Photographs, Pixels
from lynx_pose.data.records import PoseRecord
from lynx_pose.data.skeleton import Skeleton

# Loading runs in parallel by processes. OpenCV's own threads do not survive the fork that starts one, and
# then its first call in there never returns.
cv2.setNumThreads(0)


class PoseBatch(NamedTuple):
    """What crosses from the data to the model. Without the leading B it is one sample.

    Attributes:
        image: [B, H, W, 3] uint8 RGB crops.
        keypoints: [B, K, 2] float32 in crop pixels, x before y; meaningless where not visible.
        visible: [B, K] bool.
        matrix: [B, 2, 3] float64, image pixels to crop pixels.
        position: [B] int64 positions of the records in their dataset.
    """

    image: Tensor
    keypoints: Tensor
    visible: Tensor
    matrix: Tensor
    position: Tensor


class CropDataset(Dataset[PoseBatch]):
    """Crops of records.

    Args:
        records: the annotated animals.
        skeleton: of all of them.
        input_size: (width, height) of the crop.
        warp_matrix: the convention of the crop's map; it comes from the codec that decodes the network.
        augmentation: what is drawn for each sample.
        seed: of the run.
        photographs: opens them; None decodes each from its file.
    """

    def __init__(
        self,
        records: Sequence[PoseRecord],
        skeleton: Skeleton,
        input_size: tuple[int, int],
        warp_matrix: WarpMatrix,
        augmentation: Augmentation,
        seed: int,
        photographs: Photographs | None = None,
    ):
        self.records = records
        self.skeleton = skeleton
        self.input_size = input_size
        self.warp_matrix = warp_matrix
        self.augmentation = augmentation
        self.seed = seed
        self.photographs = photographs or PhotographFiles()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: tuple[int, int]) -> PoseBatch:
        """Return the sample of an (epoch, position) pair."""
        return PoseBatch(*(values[0] for values in self.__getitems__([key])))

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> PoseBatch:
        """Return the batch of several (epoch, position) pairs."""
        crops, views, matrices = zip(*map(self._sample, keys), strict=True)
        return PoseBatch(
            image=torch.from_numpy(np.stack(crops)),
            keypoints=torch.from_numpy(np.stack([view.keypoints for view in views]).astype(np.float32)),
            visible=torch.from_numpy(np.stack([view.visible for view in views])),
            matrix=torch.from_numpy(np.stack(matrices)),
            position=torch.tensor([position for _, position in keys]),
        )

    def _sample(self, key: tuple[int, int]) -> tuple[Pixels, View, Matrix]:
        """Return the crop [H, W, 3], its view with keypoints in crop pixels, and the map from image to crop pixels."""
        epoch, position = key
        record = self.records[position]
        sample_key = (self.seed, epoch, zlib.crc32(record.id.encode()))
        view = self.augmentation.view(self._view(record), self.skeleton, sample_key)
        matrix = self.warp_matrix(view.crop, self.input_size)
        view = replace(view, keypoints=transform_points(view.keypoints, matrix))
        if view.mirrored:
            matrix = compose(matrix, mirror_matrix(view.image_width))
        crop = self.augmentation.crop(self.photographs(record), matrix, self.input_size, sample_key)
        return crop, view, matrix

    def _view(self, record: PoseRecord) -> View:
        width, height = self.input_size
        return View(
            crop=crop_box(record.box, width / height),
            box_size=record.box[2:],
            keypoints=record.keypoints,
            visible=record.visible,
            image_width=record.image_size[0],
        )


def as_is(batch: Any) -> PoseBatch:
    """Collate what `CropDataset` returns for several keys, which is a batch already."""
    assert isinstance(batch, PoseBatch)
    return batch


class TrainingSampler(Sampler[tuple[int, int]]):
    """Yield one process's share of an epoch as (epoch, position) pairs, so that a worker knows its epoch.

    Step for step, `processes` processes with batches of B see what one would with batches of B × processes.
    A last batch that does not divide evenly is filled up with its own first samples, so that all processes
    take the same number of steps.

    Args:
        count: number of records.
        batch_size: samples in a batch of one process.
        seed: of the run.
        rank: this process.
        processes: how many there are.
        epoch: to begin with. Lightning starts the workers of a continued run before it sets the epoch.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int = 0, processes: int = 1, epoch: int = 0):
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.processes = processes
        self.epoch = epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(self.count, self.batch_size * self.processes)
        return whole * self.batch_size + -(-rest // self.processes)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        step = self.batch_size * self.processes
        for start in range(0, self.count, step):
            batch = order[start : start + step]
            share = -(-len(batch) // self.processes)
            mine = np.resize(batch, share * self.processes)[self.rank * share : (self.rank + 1) * share]
            yield from ((self.epoch, int(position)) for position in mine)


class ValidationSampler(Sampler[tuple[int, int]]):
    """Yield one process's share of the records in their order, as (0, position) pairs.

    Whole batches are dealt out, so each is computed exactly as a single process would, to the last bit. A
    process that is left without one repeats the last, because all of them must take part; the metric counts
    an instance once.

    Args:
        count: number of records.
        batch_size: samples in a batch.
        rank: this process.
        processes: how many there are.
    """

    def __init__(self, count: int, batch_size: int, rank: int = 0, processes: int = 1):
        batches = [range(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
        self.positions = [position for batch in batches[rank::processes] or batches[-1:] for position in batch]

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((0, position) for position in self.positions)
