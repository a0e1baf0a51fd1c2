"""Crops of animals without labels: cut once, then drawn from."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from lynx_pose.arrays import Pixels
from lynx_pose.data.crop import PADDING, CropConvention, crop_box, warp
from lynx_pose.data.image import read_image
from lynx_pose.errors import InputError
from lynx_pose.files import atomic_path
from lynx_pose.prediction.box_sources import BoxSource
from lynx_pose.prediction.media import Media, is_video

log = logging.getLogger(__name__)
# Side of a kept crop in parts of the network's input, so that there is room to move and to scale.
ROOM = 1.25
# Smallest part of a kept crop's side that a sample takes.
SMALLEST = 0.6


def cut_crops(media: Media, boxes: BoxSource, side: int, file: Path) -> Pixels:
    """Cut the animals out of their photographs, and keep them in a file that is mapped and not read.

    Args:
        media: the photographs; videos are left out.
        boxes: of the animals.
        side: of a crop in pixels.
        file: `.npy`, taken as it is where an earlier attempt has written it.

    Returns:
        [N, side, side, 3] uint8 RGB.

    Raises:
        InputError: there is not a single animal.
    """
    if not file.is_file():
        crops, problems = [], 0
        names = [name for name in media.names if not is_video(name)]
        for name in track(names, "cutting animals out of their photographs", transient=True):
            animals = boxes.boxes(name)
            try:
                pixels = read_image(media.path(name)) if animals else None
            except InputError as error:
                problems += 1
                log.warning("%s; left out", error)
                continue
            for animal in animals:
                assert pixels is not None, "read for its animals"
                box = animal.pixels((pixels.shape[1], pixels.shape[0]))
                matrix = CropConvention.CLASSIC.matrix(crop_box(box, 1.0, PADDING * ROOM), (side, side))
                crops.append(warp(pixels, matrix, (side, side)))
        if not crops:
            raise InputError(f"boxes: not a single animal in the {len(names)} photographs of {media.folder}")
        log.info("%d animals of %d photographs, %d of which cannot be read", len(crops), len(names), problems)
        with atomic_path(file) as draft, draft.open("wb") as stream:
            np.save(stream, np.stack(crops))
    mapped: Pixels = np.load(file, mmap_mode="r")
    return mapped


class UnlabelledCrops(Dataset[Tensor]):
    """Squares out of kept crops, mirrored half of the time; what is drawn depends on seed, epoch and crop alone.

    Args:
        crops: [N, S, S, 3] uint8 RGB.
        side: of a sample in pixels.
        seed: of the run; None takes the middle of each crop, for validation.
    """

    def __init__(self, crops: Pixels, side: int, seed: int | None):
        self.crops = crops
        self.side = side
        self.seed = seed

    def __len__(self) -> int:
        return len(self.crops)

    def __getitems__(self, indices: Sequence[tuple[int, int]]) -> Tensor:
        """Return the samples [B, side, side, 3], uint8 RGB, of (epoch, position) pairs."""
        return torch.from_numpy(np.stack([self._sample(*index) for index in indices]))

    def _sample(self, epoch: int, position: int) -> Pixels:
        crop, full = self.crops[position], self.crops.shape[1]
        part, places, mirrored = 1 / ROOM, np.array([0.5, 0.5]), False
        if self.seed is not None:
            rng = np.random.default_rng([self.seed, epoch, position])
            part, places, mirrored = rng.uniform(SMALLEST, 1), rng.random(2), rng.random() < 0.5
        scale = self.side / (part * full)
        left, top = places * (full - part * full)
        matrix = np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])
        sample = warp(np.asarray(crop), matrix, (self.side, self.side))
        return np.ascontiguousarray(sample[:, ::-1]) if mirrored else sample
