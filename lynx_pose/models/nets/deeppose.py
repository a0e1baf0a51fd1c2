"""DeepPose's cascade (Toshev and Szegedy 2014, arXiv 1312.4659, section 3.2)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from lynx_pose.models.heads.base import PoseHead
from lynx_pose.models.heads.regression import fully_connected
from lynx_pose.models.pose_net import PoseNet


class DeepPoseNet(PoseNet):
    """A first pose from the whole crop at half its size; then each keypoint again, from a window around it.

    A window is sampled out of the crop at its full resolution. The paper cuts it out of the image and
    trains the stages one after the other, each on simulated errors of the one before; here they train
    together, each on the poses of the one before.

    Args:
        backbone: of the first stage, from [B, 3, H/2, W/2].
        head: makes the first stage's head, which also decodes.
        num_keypoints: K.
        channels_last: memory layout of weights and activations.
        refiner: makes the backbone of a later stage, from windows [B·K, 3, h, w].
        zooms: width of each later stage's window in fractions of the crop.
        window: side of a sampled window in pixels.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Callable[..., PoseHead],
        num_keypoints: int,
        channels_last: bool,
        refiner: Callable[[], nn.Module],
        zooms: list[float],
        window: int,
    ):
        super().__init__(backbone, head, num_keypoints, channels_last)
        self.zooms = zooms
        self.window = window
        self.refiners = nn.ModuleList(refiner() for _ in zooms)
        widths = [module.feature_info.channels()[-1] for module in self.refiners]  # type: ignore[operator, union-attr]  # timm's
        self.corrections = nn.ModuleList(fully_connected([width, 2 * num_keypoints], 0.0) for width in widths)
        self.to(memory_format=self.layout)

    def forward(self, image: Tensor) -> Tensor:
        """Turn crops [B, H, W, 3], uint8 RGB, into poses [B, 1 + stages, K, 2] in fractions of the crop."""
        pixels = self.normalize(image)
        half = functional.avg_pool2d(pixels, 2)
        poses = [self.head(self.backbone(half)[-1])]
        for zoom, refiner, correction in zip(self.zooms, self.refiners, self.corrections, strict=True):
            before = poses[-1].detach()
            windows = cut_windows(pixels, before, zoom, self.window)
            # Of the moves of all keypoints in every window, each window's own.
            moves = correction(refiner(windows)[-1].mean(dim=(-2, -1)))
            batch, count, _ = before.shape
            own = moves.view(batch, count, count, 2).diagonal(dim1=1, dim2=2).movedim(-1, 1)
            poses.append(before + zoom * own)
        return torch.stack(poses, dim=1)


def cut_windows(pixels: Tensor, poses: Tensor, zoom: float, side: int) -> Tensor:
    """Sample a window around each keypoint.

    Args:
        pixels: [B, C, H, W].
        poses: [B, K, 2] in fractions of the crop, keypoint at pixel (fraction × side of the crop).
        zoom: width and height of a window in fractions of the crop.
        side: of the result in pixels.

    Returns:
        [B·K, C, side, side]; 0 beyond the crop.
    """
    count = poses.shape[1]
    size = torch.tensor([pixels.shape[-1], pixels.shape[-2]], device=pixels.device)
    steps = (torch.arange(side, device=pixels.device) + 0.5) / side - 0.5
    offsets = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1) * zoom
    places = (poses.float()[:, :, None, None] + offsets) * size
    # grid_sample wants −1 and 1 at the outer edges of the outer pixels.
    grid = (2 * places + 1) / size - 1
    # One tall grid a crop, so that the crop is not copied for each keypoint.
    sampled = functional.grid_sample(pixels.float(), grid.flatten(1, 2), align_corners=False)
    return sampled.unflatten(2, (count, side)).transpose(1, 2).flatten(0, 1)
