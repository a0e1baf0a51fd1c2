"""Learning to reconstruct photographs, skips last (paper 1818, "A Synthesis Approach to Semi-Supervised 3D Pose
Estimation from Single Images", section 3.1).
"""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from lynx_pose.errors import InputError
from lynx_pose.models.nets.autoencoder import Autoencoder
from lynx_pose.models.pose_net import Normalized


class Reconstruction(Normalized):
    """Trains encoder and decoder, then the inner skip alone, then the outer one alone.

    Together the outer skip would copy the image, and what lies before it would learn nothing.

    Args:
        backbone: the network of `model=autoencoder`.

    Raises:
        InputError: it is another one.
    """

    phases = 3

    def __init__(self, backbone: nn.Module):
        super().__init__(backbone)
        if not isinstance(backbone, Autoencoder):
            raise InputError("method=reconstruction: its backbone is lynx_pose.models.nets.autoencoder.Autoencoder")
        self.backbone: Any = backbone
        self.phase = 0

    def start_phase(self, phase: int) -> None:
        """Train what belongs to a phase, and freeze the rest with its batch statistics."""
        self.phase = phase
        trained: nn.Module = self.backbone if phase == 0 else list(self.backbone.skips.values())[phase - 1]
        self.backbone.requires_grad_(False)
        trained.requires_grad_(True)
        if phase == 0:
            self.backbone.skips.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Reconstruction":
        """Switch between training and validation; from the second phase on nothing has statistics to learn."""
        super().train(mode)
        if self.phase > 0:
            self.backbone.eval()
        return self

    def loss(self, image: Tensor, generator: Generator) -> Tensor:
        """Return the mean squared error of pixels from 0 to 1 (Equation 1) of crops [B, H, W, 3], uint8 RGB."""
        pixels = image.permute(0, 3, 1, 2).float() / 255
        return (self.backbone(self.normalize(image)).float() - pixels).square().mean()

    @torch.no_grad()
    def reconstruct(self, image: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return crops [B, H, W, 3] and what the network makes of them."""
        made = self.backbone(self.normalize(image)).float()
        return image, (made * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
