"""Poses of all animals of a photograph, by a network that finds them without boxes."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import override

from lynx_pose.arrays import Floats, Pixels
from lynx_pose.data.crop import crop_box, invert, transform_points, warp
from lynx_pose.prediction.estimator import AnimalPoses, Crops, PoseEstimator

# Confidence of the keypoints around which an animal's box is drawn.
SURE = 0.3


class PhotographEstimator(PoseEstimator):
    """Finds the animals of images and their keypoints; as `PoseEstimator`, but a whole image is one crop."""

    finds_animals = True

    @override
    def crops(self, image: Pixels, boxes: ArrayLike | None = None) -> Crops:
        """Scale an image [H, W, 3] RGB until it fits the network's input; boxes are not looked at."""
        height, width = image.shape[:2]
        whole = np.array([[0.0, 0.0, width, height]])
        size = self.network.input_size
        matrix = self.network.crop_convention.matrix(crop_box(whole[0], size[0] / size[1], padding=1.0), size)
        return Crops(whole, warp(image, matrix, size)[None], [matrix])

    @override
    def poses(self, images: Sequence[Crops]) -> Iterator[AnimalPoses]:
        """Yield the poses of each of several images; an animal's box is that of the keypoints that are sure."""
        pixels = np.concatenate([crops.pixels for crops in images])
        for start in range(0, len(pixels), self.batch_size):
            keypoints, confidences = self.network(pixels[start : start + self.batch_size])
            for photo, points, sure in zip(images[start:], keypoints, confidences, strict=False):
                real = np.isfinite(points).all(axis=(1, 2))
                placed = transform_points(points[real], invert(photo.matrices[0]))
                boxes = np.array([_box(*one) for one in zip(placed, sure[real], strict=True)]).reshape(-1, 4)
                yield AnimalPoses(boxes, placed, sure[real], [0] * len(boxes))


def _box(keypoints: Floats, confidences: Floats) -> list[float]:
    """Return x, y, width, height around the sure ones of keypoints [K, 2], at least around the two surest."""
    threshold = min(SURE, np.sort(confidences)[-2])
    chosen = keypoints[confidences >= threshold]
    low, extent = chosen.min(axis=0), np.ptp(chosen, axis=0)
    return [*low.tolist(), *extent.clip(1.0).tolist()]
