"""SimCC (Li et al. 2022, arXiv 2107.03332): x and y as two classifications over sub-pixel bins."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lynx_pose.data.crop import CropConvention

Bins = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class SimCC:
    """Gaussians over bins, `split` of them a pixel.

    Args:
        input_size: (width, height) of the crop in pixels.
        split: bins per pixel.
        sigma: standard deviation of a target's Gaussian, in bins.
    """

    input_size: tuple[int, int]
    split: int = 2
    sigma: float = 6.0
    crop_convention: ClassVar = CropConvention.CLASSIC

    @property
    def bins(self) -> tuple[int, int]:
        """Number of bins for x and for y."""
        return self.input_size[0] * self.split, self.input_size[1] * self.split

    def encode(self, keypoints: Tensor, weight: Tensor) -> tuple[Bins, Tensor]:
        """Make the targets.

        Args:
            keypoints: [B, K, 2] in crop pixels.
            weight: [B, K], 0 where a keypoint is not visible.

        Returns:
            densities over bins, [B, K, W·split] and [B, K, H·split], and weights [B, K]; the weight is 0 where
            the Gaussian stays outside, three sigma away.
        """
        centers = (keypoints * self.split).round()
        size = torch.tensor(self.bins, device=keypoints.device)
        reaches = ((centers - 3 * self.sigma < size) & (centers + 3 * self.sigma + 1 >= 0)).all(dim=-1)
        weight = (weight * reaches).to(keypoints.dtype)
        x, y = (self._density(centers[..., axis], count) for axis, count in enumerate(self.bins))
        drawn = (weight > 0)[..., None]
        return (x * drawn, y * drawn), weight

    def decode(self, bins: Bins) -> tuple[Tensor, Tensor]:
        """Find the keypoints.

        Args:
            bins: [B, K, W·split] and [B, K, H·split].

        Returns:
            keypoints [B, K, 2] in crop pixels and scores [B, K], the lower of the two maxima. Where it is not
            positive, the point is outside the crop and the score 0.
        """
        (x_values, x), (y_values, y) = (axis.max(dim=-1) for axis in bins)
        scores = torch.minimum(x_values, y_values)
        positions = torch.stack([x, y], dim=-1).to(scores.dtype)
        positive = scores > 0
        return torch.where(positive[..., None], positions, -1.0) / self.split, torch.where(positive, scores, 0.0)

    def unflip(self, bins: Bins, flip_indices: list[int]) -> Bins:
        """Turn the bins of mirrored crops into those of the crops themselves."""
        x, y = (axis[:, flip_indices] for axis in bins)
        # Pixel x mirrors to W − 1 − x, which is not bin i to the last bin − i.
        x = x.flip(-1)
        beyond = self.split - 1
        return torch.cat([x[..., beyond:], x[..., x.shape[-1] - beyond :]], dim=-1), y

    def _density(self, center: Tensor, count: int) -> Tensor:
        positions = torch.arange(count, device=center.device, dtype=center.dtype)
        gaussian = torch.exp(-((positions - center[..., None]) ** 2) / (2 * self.sigma**2))
        return gaussian / (self.sigma * (2 * torch.pi) ** 0.5)
