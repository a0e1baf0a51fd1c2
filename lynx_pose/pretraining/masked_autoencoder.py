"""Masked autoencoders (He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", arXiv 2111.06377)."""

from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Generator, Tensor, nn

from lynx_pose.errors import InputError
from lynx_pose.models.pose_net import Normalized


class MaskedAutoencoder(Normalized):
    """A vision transformer sees a quarter of a crop's patches, and a small decoder has to paint the others.

    The transformer is the backbone of `model=vit` and `dinov2`, as timm makes it; the decoder is thrown away.

    Args:
        backbone: timm's vision transformer with `features_only`.
        masked: share of the patches that are hidden; 0.75 in the paper.
        width: of the decoder's tokens.
        depth: blocks of the decoder.
        heads: of its attention.

    Raises:
        InputError: the backbone is no plain vision transformer.
    """

    phases = 1

    def __init__(self, backbone: nn.Module, masked: float, width: int, depth: int, heads: int):
        super().__init__(backbone)
        vit: Any = getattr(backbone, "model", None)
        if not hasattr(vit, "patch_embed") or not hasattr(vit, "_pos_embed"):
            raise InputError(
                "method=masked: needs a plain vision transformer of timm, as method.backbone.name=vit_small_patch16_224"
            )
        if not 0 < masked < 1:
            raise InputError(f"method.masked={masked}: must be a share between 0 and 1")
        self.masked = masked
        self.patch = vit.patch_embed.patch_size[0]
        grid = vit.patch_embed.grid_size
        self.enter = nn.Linear(vit.embed_dim, width)
        self.hidden = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(_sinusoids(grid[0], grid[1], width), requires_grad=False)
        self.decoder = nn.Sequential(*(Block(width, heads) for _ in range(depth)), nn.LayerNorm(width))
        self.paint = nn.Linear(width, self.patch**2 * 3)
        nn.init.normal_(self.hidden, std=0.02)

    def start_phase(self, phase: int) -> None:
        """Train everything; there is one phase."""

    def loss(self, image: Tensor, generator: Generator) -> Tensor:
        """Return the mean squared error of hidden patches, each patch with mean 0 and deviation 1.

        Args:
            image: [B, H, W, 3] uint8 RGB.
            generator: draws which patches are hidden.
        """
        pixels = self.normalize(image)
        hidden = self._draw(len(image), generator).to(pixels.device)
        patches = self._patches(pixels)
        targets = (patches - patches.mean(-1, keepdim=True)) / (patches.var(-1, keepdim=True) + 1e-6).sqrt()
        errors = (self._paint(pixels, hidden) - targets).square().mean(dim=-1)
        return errors[hidden].mean()

    @torch.no_grad()
    def reconstruct(self, image: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return what the network sees of crops and what it makes of that, both [B, H, W, 3] uint8 RGB.

        A patch is painted with its own true mean and deviation, as the loss leaves them out.
        """
        pixels = self.normalize(image)
        hidden = self._draw(len(image), generator).to(pixels.device)
        patches = self._patches(pixels)
        mean, deviation = patches.mean(-1, keepdim=True), patches.std(-1, keepdim=True)
        painted = torch.where(hidden[..., None], self._paint(pixels, hidden) * deviation + mean, patches)
        seen = torch.where(hidden[..., None], torch.zeros_like(patches), patches)
        return tuple(self.denormalize(self._image(one, pixels.shape)) for one in (seen, painted))  # type: ignore[return-value]  # two

    def _draw(self, count: int, generator: Generator) -> Tensor:
        """Draw which patches are hidden, [B, N] bool, as many of each crop."""
        number = self.places.shape[1]
        order = torch.rand(count, number, generator=generator).argsort(dim=1)
        return order < round(self.masked * number)

    def _paint(self, pixels: Tensor, hidden: Tensor) -> Tensor:
        """Return all patches [B, N, 3·p²] as the decoder makes them from those that are not hidden."""
        vit: Any = self.backbone.model
        tokens = vit._pos_embed(vit.patch_embed(pixels))
        extra = vit.num_prefix_tokens
        seen = tokens[:, extra:][~hidden].unflatten(0, (len(pixels), -1))
        code = vit.norm_pre(torch.cat([tokens[:, :extra], seen], dim=1))
        for block in vit.blocks:
            code = block(code)
        known = self.enter(code)[:, extra:]
        filled = self.hidden.to(known.dtype).expand(len(pixels), hidden.shape[1], -1).clone()
        filled[~hidden] = known.flatten(0, 1)
        painted: Tensor = self.paint(self.decoder(filled + self.places))
        return painted.float()

    def _patches(self, pixels: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into patches [B, N, 3·p²]."""
        return nn.functional.unfold(pixels.contiguous(), self.patch, stride=self.patch).transpose(1, 2)

    def _image(self, patches: Tensor, shape: torch.Size) -> Tensor:
        """Turn patches back into [B, 3, H, W]."""
        return nn.functional.fold(patches.transpose(1, 2), shape[-2:], self.patch, stride=self.patch)


def _sinusoids(rows: int, columns: int, width: int) -> Tensor:
    """Return [1, rows·columns, width]: sines and cosines of row and column, of wavelengths from 2π on."""
    rates = 1 / 10_000 ** (torch.arange(width // 4) / (width // 4))
    angles = [torch.arange(count)[:, None] * rates for count in (rows, columns)]
    row, column = (torch.cat([angle.sin(), angle.cos()], dim=1) for angle in angles)
    both = torch.cat([row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)], dim=-1)
    return both.flatten(0, 1)[None]
