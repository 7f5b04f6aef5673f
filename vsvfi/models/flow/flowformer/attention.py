"""Building blocks of FlowFormer's attention layers: heads, windows, position codes and the MLP.

Token grids are channels last, [B, rows, columns, C].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW = 7
"""Side of the windows of local attention, in tokens."""


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Multi-head attention, softmax(q k^T / sqrt(d)) v with d = C / heads.

    q is [B, L, C], k and v are [B, M, C], the result is [B, L, C].
    """
    q, k, v = (torch.unflatten(x, -1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def padded(x: Tensor, multiple: int) -> Tensor:
    """Pad [B, rows, columns, C] with zeros at the right and the bottom, up to multiples of `multiple`."""
    rows, columns = x.shape[1:3]
    return functional.pad(x, (0, 0, 0, -columns % multiple, 0, -rows % multiple))


def windows(x: Tensor) -> Tensor:
    """Partition [B, rows, columns, C] into zero-padded 7x7 windows, row by row: [B, W, 49, C]."""
    x = padded(x, WINDOW)
    rows, columns = x.shape[1] // WINDOW, x.shape[2] // WINDOW
    x = x.reshape(-1, rows, WINDOW, columns, WINDOW, x.shape[3]).transpose(2, 3)
    return x.reshape(-1, rows * columns, WINDOW * WINDOW, x.shape[5])


def unwindowed(x: Tensor, rows: int, columns: int) -> Tensor:
    """The inverse of `windows`."""
    across = -(-columns // WINDOW)
    x = x.reshape(x.shape[0], -1, across, WINDOW, WINDOW, x.shape[-1]).transpose(2, 3)
    return x.reshape(x.shape[0], -1, across * WINDOW, x.shape[-1])[:, :rows, :columns]


def position_code(x: Tensor, y: Tensor, width: int) -> Tensor:
    """Encode positions x and y, float32 of one shape [...], by sines and cosines: [..., width].

    `width` is a multiple of 4. The published weights were trained with 3.14 in place of pi.
    """
    frequencies = torch.arange(width // 4, dtype=torch.float32, device=x.device) * (3.14 / 200)
    across, down = x[..., None] * frequencies, y[..., None] * frequencies
    return torch.cat((across.sin(), across.cos(), down.sin(), down.cos()), -1)


def grid_code(rows: int, columns: int, width: int, device: torch.device, step: int = 1, start: int = 0) -> Tensor:
    """Return the `position_code` of a grid with spacing `step`, [rows, columns, width]."""
    y = start + step * torch.arange(rows, dtype=torch.float32, device=device)[:, None].expand(rows, columns)
    x = start + step * torch.arange(columns, dtype=torch.float32, device=device).expand(rows, columns)
    return position_code(x, y, width)


class Perceptron(nn.Module):
    """A two-layer MLP with four times the width in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return result
