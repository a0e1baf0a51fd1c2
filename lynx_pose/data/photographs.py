"""Samples of networks that find the animals by themselves: a whole photograph with the keypoints of each animal."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from lynx_pose.arrays import AnyArray, Matrix, Pixels
from lynx_pose.augment.geometry import View
from lynx_pose.data.annotations import PoseRecord
from lynx_pose.data.crop import crop_box, pixel_side, transform_points
from lynx_pose.data.dataset import CropDataset


class PhotographBatch(NamedTuple):
    """What crosses from the data to the model, as `PoseBatch`, of photographs with up to A animals.

    Attributes:
        image: [B, H, W, 3] uint8 RGB photographs, scaled until they fit, black around.
        keypoints: [B, A, K, 2] float32 in input pixels, x before y; meaningless where not visible.
        visible: [B, A, K] bool; false of animals that only fill up to A.
        occluded: [B, A, K] bool, of the visible those that something hides, as far as the dataset says.
        boxes: [B, A, 4] float32 left, top, right, bottom around the animals' annotated boxes in input pixels; zeros
            where there is no animal.
        sizes: [B, A] float32 square roots of the annotated boxes' areas in input pixels.
        matrix: [B, 2, 3] float64, image pixels to input pixels.
        record_index: [B] int64 positions of the photographs in their dataset.
    """

    image: Tensor
    keypoints: Tensor
    visible: Tensor
    occluded: Tensor
    boxes: Tensor
    sizes: Tensor
    matrix: Tensor
    record_index: Tensor


def group_by_photograph(records: Sequence[PoseRecord]) -> list[list[PoseRecord]]:
    """Return the animals of each photograph, in the order in which the photographs first occur."""
    photographs: dict[str, list[PoseRecord]] = {}
    for record in records:
        photographs.setdefault(str(record.image_path), []).append(record)
    return list(photographs.values())


class PhotographDataset(CropDataset):
    """Whole photographs of records; a sample is a photograph with all its animals.

    The arguments are those of `CropDataset`; the augmentation's geometry moves, scales and turns the whole photograph,
    and takes no half of a body.
    """

    @cached_property
    def photographs(self) -> list[list[PoseRecord]]:
        """The animals of each photograph."""
        return group_by_photograph(self.records)

    @override
    def __len__(self) -> int:
        return len(self.photographs)

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> PhotographBatch:  # type: ignore[override]  # its own
        """Return the batch of several (epoch, position) pairs."""
        images, views, matrices = zip(*(self._sample(*index) for index in indices), strict=True)
        animals = [self._animals(*index) for index in zip((p for _, p in indices), views, matrices, strict=True)]
        most = max(len(sizes) for *_, sizes in animals)
        keypoints, visible, occluded, boxes, sizes = (
            np.stack([_filled(values, most) for values in part]) for part in zip(*animals, strict=True)
        )
        return PhotographBatch(
            image=torch.from_numpy(np.stack(images)),
            keypoints=torch.from_numpy(keypoints.astype(np.float32)),
            visible=torch.from_numpy(visible),
            occluded=torch.from_numpy(occluded),
            boxes=torch.from_numpy(boxes.astype(np.float32)),
            sizes=torch.from_numpy(sizes.astype(np.float32)),
            matrix=torch.from_numpy(np.stack(matrices)),
            record_index=torch.tensor([position for _, position in indices]),
        )

    @override
    def _sample(self, epoch: int, position: int) -> tuple[Pixels, View, Matrix]:
        """Return the photograph [H, W, 3], its view with keypoints [K, A, 2] in input pixels, and the map to those."""
        records = self.photographs[position]
        width, height = self.input_size
        size = records[0].image_size
        # Keypoints before animals, so that left and right of all animals swap as those of one do.
        view = View(
            crop=crop_box([0, 0, *size], width / height, padding=1.0),
            box_size=np.asarray(size, dtype=np.float64),
            keypoints=np.stack([record.keypoints for record in records], axis=1),
            visible=np.stack([record.visible for record in records], axis=1),
            occluded=np.stack([record.occluded for record in records], axis=1),
            depth=np.stack([record.depth for record in records], axis=1),
            image_width=size[0],
        )
        return self._augmented(view, records[0], epoch)

    def _animals(self, position: int, view: View, matrix: Matrix) -> tuple[AnyArray, ...]:
        """Return keypoints [A, K, 2], visible and occluded [A, K], boxes [A, 4] and sizes [A] of a photograph."""
        boxes = np.array([record.box for record in self.photographs[position]])
        corners = np.stack(
            [boxes[:, :2] + boxes[:, 2:] * share for share in ((0, 0), (1, 0), (0, 1), (1, 1))],
            axis=1,
        )
        moved = transform_points(corners, matrix)
        return (
            view.keypoints.swapaxes(0, 1),
            view.visible.T,
            view.occluded.T,
            np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1),
            np.sqrt(boxes[:, 2] * boxes[:, 3]) / pixel_side(matrix),
        )


def _filled(values: AnyArray, count: int) -> AnyArray:
    """Return [count, ...]: values, and zeros after them."""
    return np.concatenate([values, np.zeros((count - len(values), *values.shape[1:]), values.dtype)])
