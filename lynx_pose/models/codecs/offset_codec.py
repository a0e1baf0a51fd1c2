"""Disks around keypoints, and offsets that lead from there to keypoints (Papandreou et al. 2018, "PersonLab: Person
Pose Estimation and Instance Segmentation with a Bottom-Up, Part-Based, Geometric Embedding Model", arXiv 1803.08225).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from lynx_pose.arrays import AnyArray, Floats
from lynx_pose.data.crop import CropConvention
from lynx_pose.errors import InputError

Edge = tuple[int, int]
# The distance within which two keypoints are one, and the radius of the disks, in sides of a square of the animal's
# area. The paper has 10 and 32 pixels, for persons of about one size.
SAME = 0.1
DISK = 0.1


class OffsetMaps(NamedTuple):
    """What the network finds, or is to find, at each cell of a photograph.

    Attributes:
        heat: [B, K, h, w] probabilities that a keypoint is near; as logits where a network puts them out.
        short: [B, K, 2, h, w] from the cell to that keypoint, in input pixels.
        mid: [B, 2 E, 2, h, w] from the cell, which is near an edge's first keypoint, to its second.
    """

    heat: Tensor
    short: Tensor
    mid: Tensor


class OffsetTargets(NamedTuple):
    """Targets and where they hold.

    Attributes:
        maps: what is to be found.
        heat_weight: [B, K, h, w], 0 in an animal's box for its keypoints that nobody has labelled.
        short_weight: [B, K, h, w], of the disks, the inverse of their radius; 0 outside.
        mid_weight: [B, 2 E, h, w], the same.
    """

    maps: OffsetMaps
    heat_weight: Tensor
    short_weight: Tensor
    mid_weight: Tensor


@dataclass(frozen=True)
class OffsetCodec:
    """Between the keypoints of several animals and maps of their photograph.

    Args:
        input_size: (width, height) of the photograph in pixels.
        edges: E pairs of keypoints that make a tree of all; decoding goes along it, from whatever keypoint is surest.
        stride: pixels a cell.
        radii: of the smallest and the largest disk in pixels; between them it is a tenth of an animal's size.
        min_heat: of a place from which an animal is begun.
        min_score: mean confidence of an animal's keypoints that makes it one.
        refinements: how often a keypoint that an edge led to is moved by its own short offset.
        most: animals of a photograph, as COCO counts; an untrained network would find one at every cell.
    """

    input_size: tuple[int, int]
    edges: Sequence[Edge]
    stride: int = 8
    radii: tuple[float, float] = (8.0, 32.0)
    min_heat: float = 0.01
    min_score: float = 0.2
    refinements: int = 2
    most: int = 20

    crop_convention: ClassVar[CropConvention] = CropConvention.CLASSIC

    def __post_init__(self) -> None:
        if any(side % self.stride for side in self.input_size):
            raise InputError(f"model.input_size={list(self.input_size)}: must be multiples of {self.stride}")

    @property
    def directed_edges(self) -> list[Edge]:
        """2 E pairs: each edge forth, then each back."""
        forth = [(int(start), int(end)) for start, end in self.edges]
        return [*forth, *((end, start) for start, end in forth)]

    def require_tree(self, num_keypoints: int) -> None:
        """Refuse edges that do not join all keypoints without a ring.

        Raises:
            InputError: it says how edges are given.
        """
        joined = {0}
        for _ in self.edges:
            joined |= {end for start, end in self.directed_edges if start in joined}
        if joined != set(range(num_keypoints)) or len(self.edges) != num_keypoints - 1:
            raise InputError(
                f"head.codec.edges: must be a tree of the data's {num_keypoints} keypoints, {num_keypoints - 1} pairs "
                "of their numbers from 0 that join all of them, such as head.codec.edges=[[0,1],[1,2],...]"
            )

    def encode(self, keypoints: Tensor, weight: Tensor, boxes: Tensor, sizes: Tensor) -> OffsetTargets:
        """Draw the targets.

        Args:
            keypoints: [B, A, K, 2] in input pixels.
            weight: [B, A, K], 0 where a keypoint is not visible.
            boxes: [B, A, 4] left, top, right, bottom.
            sizes: [B, A] sides of squares of the animals' areas.
        """
        places = self._places(keypoints)
        radii = (DISK * sizes).clamp(*self.radii)
        seen = weight > 0
        # [B, A, K, h, w, 2] from cells to keypoints.
        offsets = keypoints[..., None, None, :] - places
        distances = torch.where(seen[..., None, None], offsets.square().sum(-1).sqrt(), math.inf)
        # Where disks of two animals overlap, the nearer keypoint counts.
        nearest, owner = distances.min(dim=1)
        radius = radii[:, :, None, None, None].expand_as(distances).gather(1, owner[:, None])[:, 0]
        inside = nearest <= radius
        short = offsets.gather(1, owner[:, None, ..., None].expand(-1, 1, -1, -1, -1, 2))[:, 0]
        strength = weight[..., None, None].expand_as(distances).gather(1, owner[:, None])[:, 0]
        first, second = zip(*self.directed_edges, strict=True)
        owners = owner[:, list(first)]
        targets = keypoints[:, :, list(second)].movedim(1, 2)
        chosen = owners.flatten(2)[..., None].expand(-1, -1, -1, 2)
        mid = targets.gather(2, chosen).unflatten(2, owners.shape[-2:]) - places
        end_weight = weight[:, :, list(second)].movedim(1, 2).gather(2, owners.flatten(2)).view_as(owners)
        per_disk = inside * strength / radius
        in_box = ((places >= boxes[:, :, None, None, :2]) & (places <= boxes[:, :, None, None, 2:])).all(dim=-1)
        unknown = (in_box[:, :, None] & ~seen[..., None, None]).any(dim=1) & ~inside
        return OffsetTargets(
            OffsetMaps(inside.to(keypoints.dtype), short.movedim(-1, 2), mid.movedim(-1, 2)),
            torch.where(inside, strength, (~unknown).to(strength.dtype)),
            per_disk,
            per_disk[:, list(first)] * end_weight,
        )

    def decode(self, maps: OffsetMaps) -> tuple[Tensor, Tensor]:
        """Find the animals.

        Args:
            maps: of photographs; the heat as probabilities.

        Returns:
            keypoints [B, A, K, 2] in input pixels and confidences [B, A, K], the surest animal first; of photographs
            with fewer than A animals, NaN and 0 fill up.
        """
        votes = self.hough(maps.heat, maps.short)
        found = [
            self._decode_one(
                *(one.detach().cpu().double().numpy() for one in (votes[number], *(part[number] for part in maps)))
            )
            for number in range(len(votes))
        ]
        most = max(len(poses) for poses in found)
        result = maps.heat.new_full((len(found), most, maps.heat.shape[1], 3), math.nan)
        for row, poses in zip(result, found, strict=True):
            if poses:
                row[: len(poses)] = torch.from_numpy(np.stack(poses))
        return result[..., :2], result[..., 2].nan_to_num(0.0)

    def hough(self, heat: Tensor, short: Tensor) -> Tensor:
        """Let each cell vote for the place that its short offset leads to (Equation 1).

        Args:
            heat: [B, K, h, w] probabilities.
            short: [B, K, 2, h, w] in input pixels.

        Returns:
            [B, K, h, w] votes a cell, divided by the area of the smallest disk.
        """
        height, width = heat.shape[-2:]
        targets = (self._places(heat) + short.movedim(2, -1)) / self.stride
        corner = targets.floor()
        share = targets - corner
        votes = torch.zeros_like(heat).flatten(2)
        for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
            column, row = corner[..., 0] + right, corner[..., 1] + below
            part = (share[..., 0] if right else 1 - share[..., 0]) * (share[..., 1] if below else 1 - share[..., 1])
            known = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            cell = torch.where(known, row * width + column, 0).long()
            votes.scatter_add_(2, cell.flatten(2), (heat * part * known).flatten(2))
        return votes.view_as(heat) / (math.pi * (self.radii[0] / self.stride) ** 2)

    def _places(self, like: Tensor) -> Tensor:
        """Return [h, w, 2]: the cells' places in input pixels."""
        width, height = (side // self.stride for side in self.input_size)
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        return (torch.stack([columns, rows], dim=-1) * self.stride).to(like)

    def _decode_one(self, votes: Floats, heat: Floats, short: Floats, mid: Floats) -> list[Floats]:
        """Return the poses [K, 3] in one photograph, the surest first.

        Args:
            votes: [K, h, w].
            heat: [K, h, w].
            short: [K, 2, h, w].
            mid: [2 E, 2, h, w].
        """
        poses: list[Floats] = []
        for keypoint, row, column in self._seeds(votes):
            place = np.array([column, row], dtype=np.float64) * self.stride
            place += self._at(short[keypoint], heat[keypoint], place)
            if any(np.hypot(*(place - pose[keypoint, :2])) <= _same_within(pose) for pose in poses):
                continue
            pose = self._grow(keypoint, place, heat, short, mid)
            if pose[:, 2].mean() >= self.min_score:
                poses.append(pose)
            if len(poses) == self.most:
                break
        return _without_shared(poses, self.min_score)

    def _seeds(self, votes: Floats) -> list[tuple[int, int, int]]:
        """Return (keypoint, row, column) of local maxima, those with the most votes first, each animal's ten times."""
        peaks = max_pool2d(torch.from_numpy(votes)[None], 3, stride=1, padding=1)[0].numpy()
        found = np.argwhere((votes == peaks) & (votes > self.min_heat))
        order = np.argsort(-votes[tuple(found.T)], kind="stable")
        return [(int(keypoint), int(row), int(column)) for keypoint, row, column in found[order[: 10 * self.most]]]

    def _grow(self, keypoint: int, place: Floats, heat: Floats, short: Floats, mid: Floats) -> Floats:
        """Go along the tree from a keypoint to all others; return the pose [K, 3]."""
        pose = np.full((len(heat), 3), math.nan)
        pose[keypoint] = (*place, self._confidence(heat[keypoint], place))
        waiting = [keypoint]
        while waiting:
            start = waiting.pop(0)
            for number, (known, end) in enumerate(self.directed_edges):
                if known != start or not np.isnan(pose[end, 0]):
                    continue
                reached = pose[start, :2] + self._at(mid[number], heat[start], pose[start, :2])
                for _ in range(self.refinements):
                    reached = reached + self._at(short[end], heat[end], reached)
                pose[end] = (*reached, self._confidence(heat[end], reached))
                waiting.append(end)
        return pose

    def _confidence(self, heat: Floats, place: Floats) -> float:
        cells, shares = self._neighbours(heat, place)
        return float((heat[cells] * shares).sum())

    def _at(self, offset: Floats, heat: Floats, place: Floats) -> Floats:
        """Return the offset [2] at a place between cells, whose shares are multiplied by their heat.

        So cells outside the disk, of which nothing was learnt, have no say.
        """
        cells, shares = self._neighbours(heat, place)
        weights = shares * (heat[cells] + 1e-6)
        return np.asarray((offset[(slice(None), *cells)] * weights).sum(axis=1) / weights.sum())

    def _neighbours(self, heat: Floats, place: Floats) -> tuple[tuple[AnyArray, AnyArray], Floats]:
        """Return rows and columns of the four cells around a place, and their shares [4]; outside, the nearest."""
        height, width = heat.shape
        x, y = np.clip(place / self.stride, 0, (width - 1, height - 1))
        left, top = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
        right, below = x - left, y - top
        rows, columns = np.array([top, top, top + 1, top + 1]), np.array([left, left + 1, left, left + 1])
        shares = np.array([(1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below])
        return (np.minimum(rows, height - 1), np.minimum(columns, width - 1)), shares


def _same_within(pose: Floats) -> float:
    """Return the distance within which two keypoints are one, by the extent of what is sure of a pose [K, 3]."""
    sure = pose[pose[:, 2] >= min(0.3, pose[:, 2].max()), :2]
    extent = np.ptp(sure, axis=0)
    return SAME * float(max(np.sqrt(extent.prod()), extent.max() / 2, 1.0))


def _without_shared(poses: list[Floats], min_score: float) -> list[Floats]:
    """Give each keypoint to the surest pose that has it there; of the others, its confidence is 0.

    So the mean confidence of a pose is that of what it alone has, by which the paper ranks poses too (section 3.1.3).

    Args:
        poses: [K, 3] each.
        min_score: mean confidence that must be left.

    Returns:
        the poses that have it, the surest first.
    """
    kept: list[Floats] = []
    for pose in sorted(poses, key=_surest_first):
        shared = np.zeros(len(pose), dtype=bool)
        for other in kept:
            taken = np.hypot(*(pose[:, :2] - other[:, :2]).T) <= _same_within(other)
            shared |= taken & (other[:, 2] > 0)
        own = np.column_stack([pose[:, :2], np.where(shared, 0.0, pose[:, 2])])
        if own[:, 2].mean() >= min_score:
            kept.append(own)
    return sorted(kept, key=_surest_first)


def _surest_first(pose: Floats) -> float:
    return -float(pose[:, 2].mean())
