"""A heatmap and a regression head on one backbone: the thesis's future work (section 8.1)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from lynx_pose.data.crop import CropConvention
from lynx_pose.errors import InputError
from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.heads.heatmap import HeatmapOutput
from lynx_pose.models.heads.regression import CoordinateOutput

# Of a batch's errors, in those that are kept.
FOLLOWED = 0.02
Outputs = tuple[Tensor, Tensor]


class Combination(nn.Module):
    """What makes one prediction of two.

    Args:
        num_keypoints: K.
    """

    def __init__(self, num_keypoints: int):
        super().__init__()
        self.num_keypoints = num_keypoints

    def learn(self, heatmap: Tensor, regression: Tensor, truth: Tensor, seen: Tensor) -> None:
        """Take note of predictions and true places [B, K, 2] in training; `seen` [B, K] are those that both learn."""


class MeanOfBoth(Combination):
    """The middle between the two predictions."""

    @override
    def forward(self, heatmap: Tensor, regression: Tensor, scores: Tensor) -> Tensor:
        return (heatmap + regression) / 2


class ByConfidence(Combination):
    """The heatmap's prediction where it is confident; the less it is, the more of the regression's."""

    @override
    def forward(self, heatmap: Tensor, regression: Tensor, scores: Tensor) -> Tensor:
        share = scores.clamp(0, 1)[..., None]
        return share * heatmap + (1 - share) * regression


class HeatmapAlone(Combination):
    """The heatmap's prediction: what the second head's training does to the first, whatever combining does."""

    @override
    def forward(self, heatmap: Tensor, regression: Tensor, scores: Tensor) -> Tensor:
        return heatmap


class Gate(Combination):
    """The heatmap's prediction where its score exceeds a threshold, else the regression's.

    Args:
        num_keypoints: K.
        thresholds: one, or one a keypoint; benchmarks/two_heads.py fits them on validation animals.
    """

    thresholds: Tensor

    def __init__(self, num_keypoints: int, thresholds: float | Sequence[float] = 0.3):
        super().__init__(num_keypoints)
        given = [thresholds] * num_keypoints if isinstance(thresholds, int | float) else list(thresholds)
        if len(given) != num_keypoints:
            raise InputError(f"head.combination.thresholds: {len(given)} for {num_keypoints} keypoints; one for each")
        self.register_buffer("thresholds", torch.tensor(given), persistent=False)

    @override
    def forward(self, heatmap: Tensor, regression: Tensor, scores: Tensor) -> Tensor:
        return torch.where((scores > self.thresholds)[..., None], heatmap, regression)


class InverseVariance(Combination):
    """Each prediction by the inverse of its mean squared error for that keypoint, which follows the training crops.

    The heads know these crops better than others, one perhaps more than the other; held-out animals would be fairer.

    Args:
        num_keypoints: K.
    """

    errors: Tensor

    def __init__(self, num_keypoints: int):
        super().__init__(num_keypoints)
        self.register_buffer("errors", torch.ones(2, num_keypoints))

    @override
    def learn(self, heatmap: Tensor, regression: Tensor, truth: Tensor, seen: Tensor) -> None:
        squared = torch.stack([(found - truth).square().sum(dim=-1) for found in (heatmap, regression)])
        count = seen.sum(dim=0)
        means = (squared * seen).sum(dim=1) / count.clamp(min=1)
        self.errors.copy_(torch.where(count > 0, self.errors.lerp(means, FOLLOWED), self.errors))

    @override
    def forward(self, heatmap: Tensor, regression: Tensor, scores: Tensor) -> Tensor:
        share = (self.errors[1] / self.errors.sum(dim=0).clamp(min=1e-12))[:, None]
        return share * heatmap + (1 - share) * regression


class LearnedShares(Combination):
    """A share for each keypoint, learnt with the network from the error of the combination.

    Args:
        num_keypoints: K.
    """

    # Adam moves all parameters at one pace, and a share has to go further than a weight.
    pace = 10.0

    def __init__(self, num_keypoints: int):
        super().__init__(num_keypoints)
        self.logits = nn.Parameter(torch.zeros(num_keypoints))

    @override
    def forward(self, heatmap: Tensor, regression: Tensor, scores: Tensor) -> Tensor:
        share = (self.pace * self.logits).sigmoid()[:, None]
        return share * heatmap + (1 - share) * regression


class MultiHead(PoseHead):
    """Two heads that see the same features; their losses add up, their predictions are combined.

    Args:
        in_channels: of the feature map.
        in_stride: of the feature map.
        num_keypoints: K.
        heatmap: makes the heatmap head.
        regression: makes the regression head.
        combination: makes what combines the predictions, from the number of keypoints.
        regression_weight: factor of the regression's loss.
    """

    def __init__(
        self,
        in_channels: int,
        in_stride: int,
        num_keypoints: int,
        heatmap: Callable[..., HeatmapOutput],
        regression: Callable[..., CoordinateOutput],
        combination: Callable[[int], Combination],
        regression_weight: float = 1.0,
    ):
        super().__init__()
        self.heatmap = heatmap(in_channels, in_stride, num_keypoints)
        self.regression = regression(in_channels, in_stride, num_keypoints)
        self.combination = combination(num_keypoints)
        self.regression_weight = regression_weight
        if self.heatmap.crop_convention != self.regression.crop_convention:
            raise InputError(
                "head=multi: the heatmap's and the regression's codec belong to different conventions of the crop; "
                "choose head/codec@head.heatmap.codec=classic or unbiased"
            )

    @override
    @property
    def crop_convention(self) -> CropConvention:
        return self.heatmap.crop_convention

    def forward(self, features: Tensor) -> Outputs:
        """Turn features [B, C, h', w'] into both heads' outputs."""
        return self.heatmap(features), self.regression(features)

    def loss(self, output: Outputs, keypoints: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted sum of both losses, and what teaches the combination.

        The combination's own loss does not reach the network: it sees the predictions as they are.
        """
        heatmaps, coordinates = output
        loss = self.heatmap.loss(heatmaps, keypoints, weight)
        loss = loss + self.regression_weight * self.regression.loss(coordinates, keypoints, weight)
        # Keypoints outside the crop are learnt by neither head, so they teach nothing about which is better.
        inside = [head.codec.encode(keypoints, weight)[1] > 0 for head in (self.heatmap, self.regression)]
        seen, detached = inside[0] & inside[1], (heatmaps.detach(), coordinates.detach())
        if self.training:
            places = (self.heatmap.decode(detached[0])[0], self.regression.decode(detached[1])[0])
            self.combination.learn(*places, keypoints, seen)
        if not list(self.combination.parameters()):
            return loss
        found, _ = self.decode(detached)
        distances = (found - keypoints).norm(dim=-1) / self.regression.codec.input_size[0]
        return loss + (distances * seen).mean()

    def decode(self, output: Outputs) -> tuple[Tensor, Tensor]:
        """Return the combined keypoints [B, K, 2] in crop pixels and the heatmaps' scores [B, K]."""
        from_heatmaps, scores = self.heatmap.decode(output[0])
        from_regression, _ = self.regression.decode(output[1])
        # Without a positive cell there is no position to combine.
        found: Tensor = self.combination(from_heatmaps, from_regression, scores)
        return torch.where(scores[..., None] > 0, found, from_regression), scores

    def average_flipped(self, output: Outputs, mirrored: Outputs, flip_indices: list[int]) -> Outputs:
        """Return the means of the outputs of crops and of their mirror images, as outputs of the crops."""
        return (
            self.heatmap.average_flipped(output[0], mirrored[0], flip_indices),
            self.regression.average_flipped(output[1], mirrored[1], flip_indices),
        )
