"""MaxViT attention, within windows and along lattices, as self- or cross-attention (paper section 3.3).

Token grids are [B, H, W, C], and only the attention itself regroups them into windows. Attribute names are the
published keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants


class PositionBias(nn.Module):
    """A learned bias per head for every relative position within a window.

    Args:
        window: tokens along each axis.
        heads: how many heads.
    """

    def __init__(self, window: int, heads: int) -> None:
        super().__init__()
        self.window = window
        self._constants = Constants(self)
        self.weight = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads, dtype=torch.float32, device="cpu"))

    def forward(self) -> Tensor:
        """Return [heads, window^2, window^2]: for every query token (row by row) and every key token."""
        return self._constants.get((self.weight.device, self.weight.dtype), self._gathered)

    def _gathered(self) -> Tensor:
        place = torch.arange(self.window, dtype=torch.int64, device=self.weight.device)
        distance = place[:, None] - place + self.window - 1
        # [row, column, row', column']
        index = distance[:, None, :, None] * (2 * self.window - 1) + distance[None, :, None, :]
        gathered: Tensor = self.weight[index.flatten()]
        return gathered.reshape(self.window**2, self.window**2, -1).permute(2, 0, 1)


class WindowAttention(nn.Module):
    """Multi-head attention within groups of window x window tokens.

    Args:
        channels: of the tokens.
        heads: number of heads; the outermost split of the channels.
        window: tokens along each axis of a group.
        lattice: a group is a lattice across the whole image instead of a block of neighbours.
    """

    def __init__(self, channels: int, heads: int, window: int, *, lattice: bool) -> None:
        super().__init__()
        self.heads, self.window, self.lattice = heads, window, lattice
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(channels, channels, bias=False))
        self.rel_pos_bias = PositionBias(window, heads)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Attend from x to the context, both [B, H, W, C] -> [B, H, W, C]."""
        query, key, value = (self._grouped(tokens) for tokens in (self.to_q(x), self.to_k(context), self.to_v(context)))
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.rel_pos_bias())
        merged: Tensor = self.to_out(self._put_back(found, x.shape))
        return merged

    def _grouped(self, tokens: Tensor) -> Tensor:
        """Rearrange [B, H, W, C] to [B * groups, heads, window^2, C / heads]."""
        batch, height, width, _ = tokens.shape
        split = self._split(height, width)
        order = (0, 2, 4, 5, 1, 3, 6) if self.lattice else (0, 1, 3, 5, 2, 4, 6)
        grouped = tokens.reshape(batch, *split, self.heads, -1).permute(order)
        return grouped.reshape(-1, self.heads, self.window**2, grouped.shape[-1])

    def _put_back(self, grouped: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `_grouped`, for images of this shape."""
        batch, height, width, _ = shape
        across, down = height // self.window, width // self.window
        parts = grouped.reshape(batch, across, down, self.heads, self.window, self.window, -1)
        order = (0, 4, 1, 5, 2, 3, 6) if self.lattice else (0, 1, 4, 2, 5, 3, 6)
        return parts.permute(order).reshape(shape)

    def _split(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return how both axes are split: (groups, window) or, for lattices, (window, groups), each."""
        rows, columns = height // self.window, width // self.window
        return (self.window, rows, self.window, columns) if self.lattice else (rows, self.window, columns, self.window)


class NormedAttention(nn.Module):
    """Attention with a skip connection, and a LayerNorm shared by queries and context."""

    def __init__(self, channels: int, heads: int, window: int, *, lattice: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fn = WindowAttention(channels, heads, window, lattice=lattice)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Take [B, H, W, C]; without a context, x attends to itself."""
        normed = self.norm(x)
        attended: Tensor = x + self.fn(normed, normed if context is None else self.norm(context))
        return attended


class _Hidden(nn.Module):
    """Two layers with a GELU between; the second has index 3 in the checkpoint, after a dropout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Identity(), nn.Linear(4 * channels, channels)
        )


class FeedForward(nn.Module):
    """A two-layer MLP per token, with a skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fn = _Hidden(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, C]."""
        result: Tensor = x + self.fn.net(self.norm(x))
        return result


class MaxViT(nn.Module):
    """Attention within blocks of neighbours, then along lattices across the image.

    Args:
        channels: of the image.
        heads: number of heads.
        window: tokens along each axis of a group; sizes must be multiples of it.
    """

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn_block = NormedAttention(channels, heads, window, lattice=False)
        self.ff_block = FeedForward(channels)
        self.attn_grid = NormedAttention(channels, heads, window, lattice=True)
        self.ff_grid = FeedForward(channels)

    def forward(self, image: Tensor, context: Tensor | None = None) -> Tensor:
        """Attend within [B, C, H, W], or to `context` of the same shape; the result is channels last in memory."""
        x = image.permute(0, 2, 3, 1)
        seen = None if context is None else context.permute(0, 2, 3, 1)
        x = self.ff_block(self.attn_block(x, seen))
        result: Tensor = self.ff_grid(self.attn_grid(x, seen)).permute(0, 3, 1, 2)
        return result
