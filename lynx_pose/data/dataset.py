"""Samples: a record becomes a crop with its keypoints in crop pixels."""

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lynx_pose.arrays import Matrix, Pixels
from lynx_pose.augment.geometry import View
from lynx_pose.augment.pipeline import Augmentation, SampleKey
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.crop import CropConvention, compose, crop_box, mirror_matrix, pixel_side, transform_points
from lynx_pose.data.image_source import ImageFiles, ImageSource
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
        occluded: [B, K] bool, of the visible those that something hides, as far as the dataset says.
        depth: [B, K] float32 in crop pixels behind the root; NaN where the dataset has no third dimension.
        matrix: [B, 2, 3] float64, image pixels to crop pixels.
        record_index: [B] int64 positions of the records in their dataset.
    """

    image: Tensor
    keypoints: Tensor
    visible: Tensor
    occluded: Tensor
    depth: Tensor
    matrix: Tensor
    record_index: Tensor

    def coordinates(self, dimensions: int) -> Tensor:
        """Return the keypoints [B, K, 2], or [B, K, 3] with their depth."""
        return self.keypoints if dimensions == 2 else torch.cat([self.keypoints, self.depth[..., None]], dim=-1)


class CropDataset(Dataset[PoseBatch]):
    """Crops of records.

    Args:
        records: the annotated animals.
        skeleton: of all of them.
        input_size: (width, height) of the crop.
        crop_convention: of the codec that decodes the network.
        augmentation: what is drawn for each sample.
        seed: of the run.
        images: opens them; None decodes each from its file.
    """

    def __init__(
        self,
        records: Sequence[PoseRecord],
        skeleton: Skeleton,
        input_size: tuple[int, int],
        crop_convention: CropConvention,
        augmentation: Augmentation,
        seed: int,
        images: ImageSource | None = None,
    ):
        self.records = records
        self.skeleton = skeleton
        self.input_size = input_size
        self.crop_convention = crop_convention
        self.augmentation = augmentation
        self.seed = seed
        self.images = images or ImageFiles()

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: tuple[int, int]) -> PoseBatch:
        """Return the sample of an (epoch, position) pair."""
        return PoseBatch(*(values[0] for values in self.__getitems__([index])))

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> PoseBatch:
        """Return the batch of several (epoch, position) pairs."""
        crops, views, matrices = zip(*(self._sample(*index) for index in indices), strict=True)
        return PoseBatch(
            image=torch.from_numpy(np.stack(crops)),
            keypoints=torch.from_numpy(np.stack([view.keypoints for view in views]).astype(np.float32)),
            visible=torch.from_numpy(np.stack([view.visible for view in views])),
            occluded=torch.from_numpy(np.stack([view.occluded for view in views])),
            depth=torch.from_numpy(np.stack([view.depth for view in views]).astype(np.float32)),
            matrix=torch.from_numpy(np.stack(matrices)),
            record_index=torch.tensor([position for _, position in indices]),
        )

    def _sample(self, epoch: int, position: int) -> tuple[Pixels, View, Matrix]:
        """Return the crop [H, W, 3], its view with keypoints in crop pixels, and the map from image to crop pixels."""
        record = self.records[position]
        width, height = self.input_size
        view = View(
            crop=crop_box(record.box, width / height),
            box_size=record.box[2:],
            keypoints=record.keypoints,
            visible=record.visible,
            occluded=record.occluded,
            depth=record.depth,
            image_width=record.image_size[0],
        )
        return self._augmented(view, record, epoch)

    def _augmented(self, view: View, record: PoseRecord, epoch: int) -> tuple[Pixels, View, Matrix]:
        """Draw the sample's augmentation; of several animals in one image, `record` is the first."""
        key = sample_key(self.seed, epoch, record)
        view = self.augmentation.view(view, self.skeleton, key)
        matrix = self.crop_convention.matrix(view.crop, self.input_size)
        view = replace(view, keypoints=transform_points(view.keypoints, matrix), depth=view.depth / pixel_side(matrix))
        if view.mirrored:
            matrix = compose(matrix, mirror_matrix(view.image_width))
        return self.augmentation.crop(self.images(record), matrix, self.input_size, key), view, matrix


def sample_key(seed: int, epoch: int, record: PoseRecord) -> SampleKey:
    """Return what a sample's randomness is a function of: run, epoch and instance, whichever process loads it."""
    return seed, epoch, zlib.crc32(record.id.encode())


def collate(batch: Any) -> Any:
    """Return what a dataset made of several indices, which is a batch already."""
    return batch
