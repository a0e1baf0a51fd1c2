"""Poses of the animals in an image, by a trained network; imports torch only for networks of torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from lynx_pose.arrays import Floats, Matrix, Pixels
from lynx_pose.data.annotations import check_box
from lynx_pose.data.crop import CropConvention, crop_box, invert, pixel_side, transform_points, warp
from lynx_pose.data.image import read_image, upright_rgb
from lynx_pose.data.skeleton import Skeleton
from lynx_pose.errors import InputError
from lynx_pose.formats.coco import pose_score
from lynx_pose.models.embedded import EMBEDDED, find_network, log_embedded

Photo = str | Path | Image.Image | Pixels


class CropNetwork(Protocol):
    """A trained network with all that it takes to use it."""

    @property
    def skeleton(self) -> Skeleton:
        """What it was trained to find."""
        ...

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of its crops."""
        ...

    @property
    def crop_convention(self) -> CropConvention:
        """The convention of its crops."""
        ...

    def __call__(self, crops: Pixels) -> tuple[Floats, Floats]:
        """Turn crops [B, H, W, 3], RGB, into keypoints [B, K, 2] in crop pixels and confidences [B, K]."""
        ...

    def fold_batchnorm(self) -> None:
        """Spend a few seconds so that many batches take less time."""
        ...


@dataclass(frozen=True, eq=False)
class AnimalPoses:
    """Poses of N animals in one image, x before y.

    Args:
        boxes: [N, 4] x, y, width, height in image pixels, in the order that they were given.
        keypoints: [N, K, 2] in image pixels; they may lie outside the image.
        confidences: [N, K], a heatmap's maximum or what the network's head gives instead; `calibrate` of
            `python -m lynx_pose.predict` says what they mean in pixels.
        crop_numbers: N numbers of the crops that the animals were found in.
    """

    boxes: Floats
    keypoints: Floats
    confidences: Floats
    crop_numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def scores(self) -> Floats:
        """[N] the mean of an animal's confidences above 0.2."""
        return np.array([pose_score(confidences) for confidences in self.confidences])


@dataclass(frozen=True, eq=False)
class Crops:
    """What a network sees of the animals in one image.

    Args:
        boxes: [N, 4] in image pixels.
        pixels: [N, H, W, 3] RGB.
        matrices: N maps [2, 3] from image to crop pixels.
    """

    boxes: Floats
    pixels: Pixels
    matrices: Sequence[Matrix]

    @property
    def pixel_sizes(self) -> Floats:
        """[N] image pixels along the side of a crop's pixel."""
        return np.array([pixel_side(matrix) for matrix in self.matrices])


class PoseEstimator:
    """Finds the keypoints of animals in images.

    Args:
        network: `lynx_pose.load` makes it from a run, a checkpoint or an ONNX file.
        batch_size: crops that go through the network at once.
    """

    # Whether it takes whole images, and finds the animals by itself.
    finds_animals = False

    def __init__(self, network: CropNetwork, batch_size: int = 16):
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be 1 or more")
        self.network = network
        self.batch_size = batch_size

    @property
    def skeleton(self) -> Skeleton:
        """Names, pairs and limbs of the keypoints."""
        return self.network.skeleton

    def predict(self, image: Photo, boxes: ArrayLike | None = None) -> AnimalPoses:
        """Find the poses of the animals in an image.

        Args:
            image: a file, a Pillow image, or [H, W, 3] uint8 RGB.
            boxes: [N, 4] x, y, width, height of each animal in image pixels; None takes the whole image as
                the box of one.

        Raises:
            InputError: the image cannot be read, or a box is empty or lies outside it.
        """
        pixels = to_pixels(image)
        return next(self.poses([self.crops(pixels, boxes)]))

    def crops(self, image: Pixels, boxes: ArrayLike | None = None) -> Crops:
        """Cut out what the network sees of the animals in an image [H, W, 3] RGB; as `predict`."""
        height, width = image.shape[:2]
        given = [[0, 0, width, height]] if boxes is None else boxes
        checked = np.array(given, dtype=np.float64).reshape(-1, 4)
        for box in checked:
            check_box(box, (width, height))
        (across, down), convention = self.network.input_size, self.network.crop_convention
        matrices = [convention.matrix(crop_box(box, across / down), (across, down)) for box in checked]
        pixels = [warp(image, matrix, (across, down)) for matrix in matrices]
        return Crops(checked, np.array(pixels, dtype=np.uint8).reshape(-1, down, across, 3), matrices)

    def poses(self, images: Sequence[Crops]) -> Iterator[AnimalPoses]:
        """Yield the poses of each of several images, whose crops share batches."""
        crops = np.concatenate([crops.pixels for crops in images])
        parts = [self.network(crops[at : at + self.batch_size]) for at in range(0, len(crops), self.batch_size)]
        count = len(self.skeleton)
        keypoints = np.concatenate([np.zeros((0, count, 2)), *(part[0] for part in parts)])
        confidences = np.concatenate([np.zeros((0, count)), *(part[1] for part in parts)])
        start = 0
        for photo in images:
            mine = slice(start, start + len(photo.boxes))
            start = mine.stop
            placed = [
                transform_points(points, invert(matrix))
                for points, matrix in zip(keypoints[mine], photo.matrices, strict=True)
            ]
            numbers = range(len(photo.boxes))
            yield AnimalPoses(photo.boxes, np.array(placed).reshape(-1, count, 2), confidences[mine], numbers)


def to_pixels(image: Photo) -> Pixels:
    """Return an image as [H, W, 3] uint8 RGB, turned upright by its EXIF orientation.

    Raises:
        InputError: it is of another type or shape, or its file cannot be read.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return upright_rgb(image)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    described = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError(f"image: must be a file, a Pillow image or uint8 [height, width, 3] RGB, not {described}")


def load(
    run: str | Path = EMBEDDED,
    *,
    batch_size: int = 16,
    flip_test: bool | None = None,
    precision: str = "auto",
    device: str = "auto",
    trust: bool = False,
) -> PoseEstimator:
    """Load a trained network.

    Args:
        run: the folder of a run, whose best checkpoint is taken; a checkpoint; an ONNX file by
            `python -m lynx_pose.export`, for which the arguments after `batch_size` have no meaning; or `embedded`, the
            network that comes with the package.
        batch_size: crops that go through the network at once.
        flip_test: average each output with that of the mirrored crop; None does as the run did.
        precision: `float32`; `bf16`, which is faster where the device computes it; `auto` takes bf16 there.
        device: `cpu`, `cuda`, …; `auto` takes a GPU where there is one.
        trust: of a run or checkpoint, run whatever code its configuration names. Without it, a network of classes that
            are neither lynx_pose's nor torch's is refused, so that a stranger's file is safe to load.

    Raises:
        InputError: it is none of these, or damaged, or not to be trusted.
    """
    path = find_network(run)
    log_embedded(run)
    if path.suffix == ".onnx":
        from lynx_pose.prediction.onnx_network import OnnxNetwork

        return PoseEstimator(OnnxNetwork(path), batch_size)
    cv2.setNumThreads(0)
    from lynx_pose.prediction.torch_network import TorchNetwork

    network = TorchNetwork.load(path, flip_test, precision, device, trust)
    if network.net.finds_animals:
        from lynx_pose.prediction.photograph_estimator import PhotographEstimator

        return PhotographEstimator(network, batch_size)
    return PoseEstimator(network, batch_size)
