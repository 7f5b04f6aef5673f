"""LDMVFI's denoising U-Net: predicts the noise in a latent from both neighbours' latents and the step.

What depends on the step only (the embedding, and the shift of every block) is computed once for all steps. Attribute
names are the published keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vsvfi.models.blocks.constants import Constants
from vsvfi.models.ldmvfi.attention import MaxViT
from vsvfi.models.ldmvfi.blocks import Upsample

MULTIPLES = (1, 2, 4)
BLOCKS = 2
"""Blocks of a level in the downward path; the upward path has one more."""

HEAD = 32
WINDOW = 2
"""The attention window: the training latents' size at the coarsest level (8, reduced to 2), also for larger latents."""


class ResidualBlock(nn.Module):
    """Two convolutions with the step's shift added between them."""

    def __init__(self, inputs: int, outputs: int, embedded: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedded, outputs))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, outputs), nn.SiLU(), nn.Identity(), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        """Map [B, inputs, h, w] and the step's shift, [outputs] or [B, outputs], to [B, outputs, h, w]."""
        hidden = self.in_layers(x) + shift[..., None, None]
        result: Tensor = self.skip_connection(x) + self.out_layers(hidden)
        return result


class Downsample(nn.Module):
    """Halve the size by a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.op(x)
        return halved


class Stage(nn.ModuleList):
    """A sequence of modules, of which residual blocks also take the step's shift."""

    def forward(self, x: Tensor, shifts: Mapping[nn.Module, Tensor]) -> Tensor:
        for part in self:
            x = part(x, shifts[part]) if isinstance(part, ResidualBlock) else part(x)
        return x


def _attended(inputs: int, outputs: int, embedded: int) -> list[nn.Module]:
    return [ResidualBlock(inputs, outputs, embedded), MaxViT(outputs, outputs // HEAD, WINDOW)]


class UNet(nn.Module):
    """The denoising network: noisy latent and both neighbours' latents (9 channels) -> noise (3 channels).

    Args:
        width: channels at the latent's size; every other width follows from it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self._constants = Constants(self)
        embedded = 4 * width
        self.time_embed = nn.Sequential(nn.Linear(width, embedded), nn.SiLU(), nn.Linear(embedded, embedded))
        widths = [width * multiple for multiple in MULTIPLES]
        down: list[Stage] = [Stage([nn.Conv2d(9, width, 3, padding=1)])]
        skips = [width]
        channels = width
        for level, width in enumerate(widths):
            for _ in range(BLOCKS):
                down.append(Stage(_attended(channels, width, embedded)))
                channels = width
                skips.append(channels)
            if level < len(widths) - 1:
                down.append(Stage([Downsample(channels)]))
                skips.append(channels)
        self.input_blocks = nn.ModuleList(down)
        self.middle_block = Stage(
            [*_attended(channels, channels, embedded), ResidualBlock(channels, channels, embedded)]
        )
        up: list[Stage] = []
        for level, width in reversed(list(enumerate(widths))):
            for block in range(BLOCKS + 1):
                parts = _attended(channels + skips.pop(), width, embedded)
                channels = width
                if level and block == BLOCKS:
                    parts.append(Upsample(channels))
                up.append(Stage(parts))
        self.output_blocks = nn.ModuleList(up)
        self.out = nn.Sequential(nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, 3, 3, padding=1))

    def shifts(self, steps: Sequence[int]) -> list[dict[nn.Module, Tensor]]:
        """Return for every step the shift of each residual block, [channels]."""
        key = (*steps, next(self.parameters()).device, next(self.parameters()).dtype)
        table = self._constants.get(key, lambda: self._table(steps))
        return [{block: rows[index] for block, rows in table.items()} for index in range(len(steps))]

    def _table(self, steps: Sequence[int]) -> dict[nn.Module, Tensor]:
        """Return the shifts of all steps by residual block, [steps, channels]."""
        embedding = self.time_embed(step_embedding(steps, self.width).to(next(self.parameters())))
        blocks = [module for module in self.modules() if isinstance(module, ResidualBlock)]
        return {block: block.emb_layers(embedding) for block in blocks}

    def forward(self, x: Tensor, shifts: Mapping[nn.Module, Tensor]) -> Tensor:
        """Map [B, 9, h, w] and the shifts of one step to the noise [B, 3, h, w]; sizes are multiples of 8."""
        skips = []
        for block in self.input_blocks:
            x = block(x, shifts)
            skips.append(x)
        x = self.middle_block(x, shifts)
        for block in self.output_blocks:
            x = block(torch.cat((x, skips.pop()), 1), shifts)
        noise: Tensor = self.out(x)
        return noise


def step_embedding(steps: Sequence[int], width: int) -> Tensor:
    """Embed steps by cosines, then sines: [steps, width] float32 on the CPU.

    There are width / 2 frequencies from 1 down to almost 1/10000.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device="cpu") / half)
    angles = torch.tensor(steps, dtype=torch.float32, device="cpu")[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), 1)
