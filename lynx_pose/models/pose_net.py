"""The network: uint8 crops in, a head's output or keypoints out."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from lynx_pose.config import instantiate
from lynx_pose.models.heads.base import Output, PoseHead

if TYPE_CHECKING:
    # Prediction does without the modules that the data need.
    from lynx_pose.data.dataset import PoseBatch

# Of ImageNet's pixels, for backbones that do not say what they were trained with: MMPose's.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalized(nn.Module):
    """A backbone and what its pixels are normalised by.

    Mean and deviation of the pixels belong to the backbone's weights: they come from timm's `pretrained_cfg`, or from
    the initial weights, and are kept in every checkpoint.

    Args:
        backbone: takes [B, 3, H, W].
        channels_last: memory layout of what it takes; it changes the speed, not the result.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, channels_last: bool = True):
        super().__init__()
        self.backbone = backbone
        pretrained = getattr(backbone, "pretrained_cfg", None) or {}
        self.register_buffer("mean", torch.empty(1, 3, 1, 1))
        self.register_buffer("std", torch.empty(1, 3, 1, 1))
        self.set_normalization(pretrained.get("mean", IMAGENET_MEAN), pretrained.get("std", IMAGENET_STD))
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def set_normalization(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set mean and deviation [3] of the pixels, red, green, blue, on a scale from 0 to 1."""
        self.mean.copy_(torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.std.copy_(torch.tensor(std).view(1, 3, 1, 1) * 255)

    def normalize(self, image: Tensor) -> Tensor:
        """Turn crops [B, H, W, 3], uint8 RGB, into what backbones take, [B, 3, H, W]."""
        # In place: on a CPU, three channels side by side are slow to broadcast into new memory.
        pixels = image.permute(0, 3, 1, 2).float().sub_(self.mean).div_(self.std)
        # Crops come channels-last, so the fast layout costs nothing here.
        return pixels.contiguous(memory_format=self.layout)

    def denormalize(self, pixels: Tensor) -> Tensor:
        """Turn [B, 3, H, W] as `normalize` makes them back into crops [B, H, W, 3], uint8 RGB."""
        return (pixels * self.std + self.mean).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


class PoseNet(Normalized):
    """Backbone and head.

    Args:
        backbone: from [B, 3, H, W] to a list whose last entry is the feature map, with timm's `feature_info`.
        head: makes the head from in_channels, in_stride and num_keypoints.
        num_keypoints: K.
        channels_last: memory layout of weights and activations; it changes the speed, not the result.
    """

    # Whether it sees whole photographs and finds the animals by itself; others see a crop of one animal.
    finds_animals: ClassVar[bool] = False
    head: PoseHead

    def __init__(
        self, backbone: nn.Module, head: Callable[..., PoseHead], num_keypoints: int, channels_last: bool = True
    ):
        super().__init__(backbone, channels_last)
        info: Any = backbone.feature_info
        self.head = head(in_channels=info.channels()[-1], in_stride=info.reduction()[-1], num_keypoints=num_keypoints)
        self.to(memory_format=self.layout)

    def forward(self, image: Tensor) -> Output:
        """Turn crops [B, H, W, 3], uint8 RGB, into the head's output."""
        return self.head(self.backbone(self.normalize(image))[-1])

    def loss(self, output: Output, batch: "PoseBatch", weight: Tensor) -> Tensor:
        """Return the head's loss of a batch's output, in which each keypoint has a weight [B, K]."""
        return self.head.loss(output, batch.coordinates(self.head.dimensions), weight)

    def example_loss(self, width: int, height: int, num_keypoints: int) -> Tensor:
        """Return the loss of one black crop with all keypoints at its centre."""
        centre = torch.tensor([width / 2, height / 2, 0.0])[: self.head.dimensions].expand(1, num_keypoints, -1)
        output = self(torch.zeros(1, height, width, 3, dtype=torch.uint8))
        return self.head.loss(output, centre, torch.ones(1, num_keypoints))

    def predict(
        self, image: Tensor, flip_indices: list[int] | None = None, output: Output | None = None
    ) -> tuple[Tensor, Tensor]:
        """Find the keypoints in crops.

        Args:
            image: [B, H, W, 3] uint8 RGB.
            flip_indices: of the skeleton, for the flip test: the mean of each output and that of the mirrored crop;
                None does without.
            output: of these crops, where it has been computed already.

        Returns:
            keypoints [B, K, D] in crop pixels, D being the head's dimensions, and scores [B, K].
        """
        output = self(image) if output is None else output
        if flip_indices is not None:
            output = self.head.average_flipped(output, self(image.flip(2)), flip_indices)
        return self.head.decode(output)


def build_net(cfg: DictConfig, num_keypoints: int) -> PoseNet:
    """Make the network that a configuration describes, with random weights."""
    make: Callable[..., PoseNet] = instantiate(cfg.model.net)
    return make(instantiate(cfg.model.backbone), instantiate(cfg.head), num_keypoints, cfg.channels_last)
