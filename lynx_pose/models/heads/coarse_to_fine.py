"""Coarse heatmaps and their refinement (Tompson et al. 2015, arXiv 1411.4280): banks of resolutions, crops of features.

The paper's local contrast normalisation is batch normalisation here, and its widths are configurable.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from lynx_pose.data.crop import CropConvention
from lynx_pose.errors import InputError
from lynx_pose.models.backbones import FeatureInfo
from lynx_pose.models.codecs.decoding import maximum
from lynx_pose.models.codecs.heatmap_codec import HeatmapCodec
from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.heads.heatmap import to_heatmaps
from lynx_pose.models.heads.spatial_model import SpatialModel

# The crop at full, half and quarter size.
SCALES = (1, 2, 4)
BANK_CHANNELS = 64
COARSE_STRIDE = 8
# Side in crop pixels of the windows that are refined.
WINDOW = 36


class BankFeatures(NamedTuple):
    """What the banks find in crops.

    Attributes:
        coarse: [B, C, H/8, W/8].
        first: of each bank, the features of its first layer [B, 64, H/s, W/s], which the refinement shares.
    """

    coarse: Tensor
    first: tuple[Tensor, ...]


class ResolutionBanks(nn.Module):
    """Three banks of convolutions, which see the crop at full, half and quarter size, from crops [B, 3, H, W].

    Args:
        channels: of the coarse features; the paper has 512.
    """

    def __init__(self, channels: int = 128):
        super().__init__()
        self.first = nn.ModuleList(_convolution(3, BANK_CHANNELS, 5) for _ in SCALES)
        self.rest = nn.ModuleList(
            nn.Sequential(
                *(nn.MaxPool2d(2), _convolution(BANK_CHANNELS, BANK_CHANNELS, 5)),
                *(nn.MaxPool2d(2), _convolution(BANK_CHANNELS, 128, 5), nn.MaxPool2d(2)),
                _convolution(128, channels, 9),
            )
            for _ in SCALES
        )
        self.feature_info = FeatureInfo(channels, COARSE_STRIDE)

    def forward(self, pixels: Tensor) -> list[BankFeatures]:
        """Return one entry; height and width are multiples of 32."""
        height, width = pixels.shape[-2:]
        if height % 32 or width % 32:
            raise InputError(f"model.input_size=[{width},{height}]: model=tompson takes multiples of 32")
        first = tuple(
            bank(functional.avg_pool2d(pixels, scale)) for scale, bank in zip(SCALES, self.first, strict=True)
        )
        size = (height // COARSE_STRIDE, width // COARSE_STRIDE)
        maps = [
            functional.interpolate(bank(features), size=size) for features, bank in zip(first, self.rest, strict=True)
        ]
        return [BankFeatures(torch.stack(maps).sum(dim=0), first)]


class CoarseToFine(NamedTuple):
    """Coarse heatmaps [B, K, h, w], and the features [B, 64, H/s, W/s] that refine them.

    `parts` are the heatmaps before they were corrected by each other; without a spatial model the same.
    """

    coarse: Tensor
    first: tuple[Tensor, ...]
    parts: Tensor


class CoarseToFineHead(PoseHead):
    """Coarse heatmaps, and a small network that looks again at a window around each of their maxima.

    In training the windows lie around the true places, moved at random, so that both learn from the start. In
    prediction they are multiplied by a Gaussian of that movement's deviation (ours): convolutions do not know where in
    a window they are, and a false maximum near its edge would count as much as the true one in its middle.

    Args:
        in_channels: of the coarse features.
        in_stride: of the coarse features; the coarse heatmaps have the same.
        num_keypoints: K.
        codec: between coordinates and coarse heatmaps.
        loss: of heatmaps, targets and weights.
        dropout: share of whole feature maps that are dropped in training (SpatialDropout).
        fine_sigma: of the windows' targets, in crop pixels.
        fine_weight: factor of the windows' loss; the paper has 0.1.
        jitter: deviation in crop pixels by which windows are moved in training, to twice as far at most.
        refine: false predicts by the coarse heatmaps alone.
        spatial_model: makes what corrects coarse heatmaps by each other, from K and their size; None does without.

    Raises:
        InputError: the codec's stride is another than the features', or `jitter` is not above 0.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        codec: HeatmapCodec,
        loss: nn.Module,
        dropout: float = 0.2,
        fine_sigma: float = 1.0,
        fine_weight: float = 0.1,
        jitter: float = 4.0,
        refine: bool = True,
        spatial_model: Callable[..., SpatialModel] | None = None,
    ):
        super().__init__()
        if codec.stride != in_stride:
            raise InputError(f"model=tompson: head.codec.stride must be that of the coarse features, {in_stride}")
        if jitter <= 0:
            raise InputError(f"head.jitter={jitter}: must be above 0, or all true places are in the middle")
        self.codec = codec
        self.criterion = loss
        self.num_keypoints = num_keypoints
        self.fine_sigma = fine_sigma
        self.fine_weight = fine_weight
        self.jitter = jitter
        self.refine = refine
        self.coarse = nn.Sequential(
            nn.Dropout2d(dropout),
            *(nn.Conv2d(in_channels, 512, 1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(512, 256, 1), nn.ReLU(inplace=True)),
            to_heatmaps(256, num_keypoints),
        )
        self.spatial_model = spatial_model(num_keypoints, codec.heatmap_size) if spatial_model else None
        # The same weights for all keypoints, but for the last layer (the paper's Siamese configuration).
        self.levels = nn.ModuleList(
            nn.Sequential(_convolution(BANK_CHANNELS, 32, 5), _convolution(32, 32, 5)) for _ in SCALES
        )
        self.shared = nn.Sequential(nn.Conv2d(32, 64, 1), nn.ReLU(inplace=True))
        self.own = nn.Parameter(torch.randn(num_keypoints, 64) * 0.001)

    @property
    def crop_convention(self) -> CropConvention:
        """The codec's."""
        return self.codec.crop_convention

    def forward(self, features: BankFeatures) -> CoarseToFine:
        """Make the coarse heatmaps; the windows wait for their places."""
        parts = self.coarse(features.coarse)
        return CoarseToFine(self.spatial_model(parts) if self.spatial_model else parts, features.first, parts)

    def fine(self, first: Sequence[Tensor], centers: Tensor) -> Tensor:
        """Return the heatmaps [B, K, 36, 36] of windows around centres [B, K, 2], whole crop pixels."""
        maps = []
        for scale, features, level in zip(SCALES, first, self.levels, strict=True):
            windows = cut_cells(features, torch.div(centers, scale, rounding_mode="floor"), WINDOW // scale)
            maps.append(functional.interpolate(level(windows), size=(WINDOW, WINDOW)))
        shared = self.shared(torch.stack(maps).sum(dim=0)).unflatten(0, (-1, self.num_keypoints))
        return torch.einsum("bkchw,kc->bkhw", shared, self.own)

    def loss(self, output: CoarseToFine, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the coarse heatmaps' loss and that of the windows."""
        with torch.no_grad():
            target, coarse_weight = self.codec.encode(keypoints, weight)
            jitter = self.jitter if self.training else 0.0
            moved = (jitter * torch.randn_like(keypoints)).clamp(-2 * jitter, 2 * jitter)
            size = torch.tensor(self.codec.input_size, device=keypoints.device)
            centers = (keypoints + moved).round().clamp(min=0).minimum(size - 1)
            inside = keypoints - centers + WINDOW // 2
            window = draw_gaussians(inside, self.fine_sigma)
            fine_weight = coarse_weight * ((inside >= 0) & (inside <= WINDOW - 1)).all(dim=-1)
        coarse: Tensor = self.criterion(output.coarse, target, coarse_weight)
        if self.spatial_model:
            coarse = coarse + self.criterion(output.parts, target, coarse_weight)
        return coarse + self.fine_weight * self.criterion(self.fine(output.first, centers), window, fine_weight)

    def decode(self, output: CoarseToFine) -> tuple[Tensor, Tensor]:
        """Return keypoints [B, K, 2] in crop pixels and scores [B, K], which are the coarse maxima."""
        places, scores = self.codec.decode(output.coarse.float())
        if not self.refine:
            return places, scores
        centers = places.clamp(min=0).round()
        moved = draw_gaussians(torch.full_like(centers, WINDOW // 2), self.jitter)
        cells, _ = maximum(self.fine(output.first, centers).float() * moved)
        # Where a window has no positive cell, its centre is what is known.
        found = torch.where(cells >= 0, centers + cells - WINDOW // 2, centers)
        return torch.where(scores[..., None] > 0, found, -1.0), scores

    @override
    def average_flipped(self, output: CoarseToFine, mirrored: CoarseToFine, flip_indices: list[int]) -> CoarseToFine:
        """Average the coarse heatmaps; the windows around their maxima are those of the crops themselves."""
        coarse, parts = (
            (own + self.codec.unflip(other, flip_indices)) / 2
            for own, other in ((output.coarse, mirrored.coarse), (output.parts, mirrored.parts))
        )
        return CoarseToFine(coarse, output.first, parts)


def cut_cells(features: Tensor, centers: Tensor, side: int) -> Tensor:
    """Cut windows of whole cells out of feature maps.

    Args:
        features: [B, C, h, w].
        centers: [B, K, 2] whole cells, x before y, which come to lie at cell (side // 2, side // 2).
        side: of a window, in cells.

    Returns:
        [B·K, C, side, side]; 0 beyond the map.
    """
    steps = torch.arange(side, device=features.device) - side // 2
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    places = centers[:, :, None, None] + offsets
    size = torch.tensor([features.shape[-1], features.shape[-2]], device=features.device)
    # grid_sample wants −1 and 1 at the outer edges of the outer cells.
    grid = (2 * places + 1) / size - 1
    sampled = functional.grid_sample(features.float(), grid.flatten(1, 2), mode="nearest", align_corners=False)
    return sampled.unflatten(2, (centers.shape[1], side)).transpose(1, 2).flatten(0, 1)


def draw_gaussians(places: Tensor, sigma: float) -> Tensor:
    """Return windows [B, K, 36, 36] with a Gaussian of peak 1 at each place [B, K, 2], in cells from the first."""
    cells = torch.arange(WINDOW, device=places.device)
    x, y = (torch.exp(-((cells - places[..., axis, None]) ** 2) / (2 * sigma**2)) for axis in (0, 1))
    return y[..., :, None] * x[..., None, :]


def _convolution(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
