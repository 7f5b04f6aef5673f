"""VFIMamba's mixed-SSM block: a selective scan through both frames, and channel attention (paper section 3.2).

Tokens are the pixels of both frames, stored frame after frame, each frame row by row. The steps before the scan work on
one frame at a time; the scan alternates between the pixels of both frames. Attribute names are the published keys. All
LayerNorms have torch's epsilon, 1e-5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants
from vsvfi.ops.scan import Paths, scan_paths

STATES = 16
"""N: states per channel."""

DIRECTIONS = 4
"""K: rows, columns, and both reversed."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Inputs of the scan per pixel, for M images of n pixels."""

    u: Tensor  # [M, n, D] the scanned branch
    gate: Tensor  # [M, n, D] the factor of the result
    projected: Tensor  # [M, n, K, R + 2N]: low-rank step, B, C


def interleaved_paths(height: int, width: int, device: torch.device) -> Paths:
    """Return the four orders in which the scan visits the pixels of both frames, and where it writes its results.

    By rows: for each pixel first frame 0, then frame 1; by columns likewise; then both reversed. Results of the rows
    are written to the pixels they were read from. Those of the columns are written where the published program puts
    them: it transposes the sequence as if it were two consecutive planes, though the frames are interleaved. The
    weights were trained that way.
    """
    pixels = height * width
    grid = torch.arange(pixels, dtype=torch.int32, device=device).reshape(height, width)

    def interleaved(order: Tensor) -> Tensor:
        return torch.stack((order, order + pixels), 1).flatten()

    rows, columns = interleaved(grid.flatten()), interleaved(grid.T.flatten())
    # Position in its half of the row sequence, for every position of the column sequence
    turned_back = grid.T.flatten().repeat(2)
    turned_back[pixels:] += pixels
    written = rows[turned_back.long()]
    return Paths(
        torch.stack((rows, columns, rows.flip(0), columns.flip(0))),
        torch.stack((rows, written, rows.flip(0), written.flip(0))),
    )


class SS2D(nn.Module):
    """Interleaved four-direction selective scan."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, rank = 2 * channels, -(-channels // 16)
        self.inner, self.rank = inner, rank
        self._constants = Constants(self)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, 1, 1, groups=inner)
        self.x_proj_weight = nn.Parameter(
            torch.randn(DIRECTIONS, rank + 2 * STATES, inner, dtype=torch.float32, device="cpu") * inner**-0.5
        )
        self.dt_projs_weight = nn.Parameter(
            torch.randn(DIRECTIONS, inner, rank, dtype=torch.float32, device="cpu") * rank**-0.5
        )
        self.dt_projs_bias = nn.Parameter(torch.full((DIRECTIONS, inner), -4.6, dtype=torch.float32, device="cpu"))
        rates = torch.arange(1.0, STATES + 1, dtype=torch.float32, device="cpu")
        self.A_logs = nn.Parameter(torch.log(rates).repeat(DIRECTIONS * inner, 1))
        self.Ds = nn.Parameter(torch.ones(DIRECTIONS * inner, dtype=torch.float32, device="cpu"))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)

    def project(self, x: Tensor) -> Tokens:
        """Compute the per-pixel inputs of the scan for images x [M, h, w, C]."""
        u, gate = self.in_proj(x).chunk(2, -1)
        u = functional.silu(self.conv2d(u.permute(0, 3, 1, 2))).permute(0, 2, 3, 1).flatten(1, 2)
        projected = functional.linear(u, self.x_proj_weight.flatten(0, 1)).reshape(*u.shape[:2], DIRECTIONS, -1)
        return Tokens(u, functional.silu(gate).flatten(1, 2), projected)

    def _rates(self) -> Tensor:
        """Return A, [K, D, N] float32."""
        return -torch.exp(self.A_logs.float()).reshape(DIRECTIONS, -1, STATES)

    def mix(self, tokens: Tokens, paths: Paths) -> Tensor:
        """Scan both frames of B pairs: tokens of 2B images, first frames, then second ones -> [2B, n, C]."""
        # [B, 2n, D], [B, K, 2n, R + 2N]
        u, projected = (
            _side_by_side(tokens.u),
            _side_by_side(tokens.projected).transpose(1, 2),
        )
        low, entering, leaving = (
            projected[..., : self.rank],
            projected[..., self.rank : -STATES],
            projected[..., -STATES:],
        )
        merged = scan_paths(
            u,
            low @ self.dt_projs_weight.transpose(1, 2),
            self._constants.get(("rates", u.device, self.A_logs.dtype), self._rates),
            entering,
            leaving,
            self.Ds.reshape(DIRECTIONS, -1),
            self.dt_projs_bias,
            paths,
        )
        batch, both, inner = merged.shape
        merged = merged.reshape(batch, 2, both // 2, inner).transpose(0, 1).reshape(tokens.u.shape)
        mixed: Tensor = self.out_proj(self.out_norm(merged) * tokens.gate)
        return mixed


def _side_by_side(stacked: Tensor) -> Tensor:
    """Rearrange [2B, n, ...] to [B, 2n, ...]; a view for B = 1."""
    batch = stacked.shape[0] // 2
    return stacked.reshape(2, batch, *stacked.shape[1:]).transpose(0, 1).flatten(1, 2)


class ChannelAttention(nn.Module):
    """Weight channels by a function of their means over the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = channels // 30
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weighed: Tensor = x * self.attention(x)
        return weighed


class CAB(nn.Module):
    """Two convolutions and channel attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = channels // 3
        self.cab = nn.Sequential(
            nn.Conv2d(channels, squeezed, 3, 1, 1),
            nn.GELU(),
            nn.Conv2d(squeezed, channels, 3, 1, 1),
            ChannelAttention(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.cab(x)
        return result


class MixedBlock(nn.Module):
    """A scan, then a convolution, each with a scaled skip connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(channels)
        self.self_attention = SS2D(channels)
        self.skip_scale = nn.Parameter(torch.ones(channels, dtype=torch.float32, device="cpu"))
        self.conv_blk = CAB(channels)
        self.ln_2 = nn.LayerNorm(channels)
        self.skip_scale2 = nn.Parameter(torch.ones(channels, dtype=torch.float32, device="cpu"))

    def open(self, x: Tensor) -> Tokens:
        """Run the per-image part: x [M, h, w, C]."""
        return self.self_attention.project(self.ln_1(x))

    def close(self, x: Tensor, tokens: Tokens, paths: Paths) -> Tensor:
        """Run the part that mixes both frames: x [2B, h, w, C], first frames, then second ones, and its tokens."""
        x = self.skip_scale * x + self.self_attention.mix(tokens, paths).view_as(x)
        refined: Tensor = self.conv_blk(self.ln_2(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.skip_scale2 * x + refined
