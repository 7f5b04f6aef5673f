"""Compute the local correlation volume with a few banded matrix products."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 16
"""Columns of one product: wider blocks compute more values outside the band, narrower ones are less efficient."""


def check(first: Tensor, second: Tensor, radius: int) -> None:
    """Refuse arguments that do not fit.

    Raises:
        ValueError: the shapes differ, or the radius is negative.
    """
    if first.shape != second.shape or first.dim() != 4:
        raise ValueError(
            f"local_correlation: second={tuple(second.shape)}, must have the shape of "
            f"first={tuple(first.shape)}, [B, C, H, W]"
        )
    if radius < 0:
        raise ValueError(f"local_correlation: radius={radius}, must be 0 or more")


def local_correlation(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """See `vsvfi.ops.correlation.local_correlation`. For half-precision features the matrix product sums in float32."""
    check(first, second, radius)
    batch, channels, height, width = first.shape
    reach = 2 * radius + 1
    blocks = -(-width // _BLOCK)
    missing = blocks * _BLOCK - width
    span = _BLOCK + 2 * radius
    left = functional.pad(first.permute(0, 2, 3, 1) / channels, (0, 0, 0, missing)).reshape(-1, _BLOCK, channels)
    right = functional.pad(second.permute(0, 2, 3, 1), (0, 0, radius, radius + missing, radius, radius))
    # [B, H + 2r, blocks, C, span], a view; each row of blocks serves `reach` rows of `first`
    windows = right.unfold(2, span, _BLOCK)
    volume = first.new_empty(batch, height, blocks * _BLOCK, reach * reach)
    banded = volume.view(-1, _BLOCK, reach * reach)
    for offset in range(reach):
        # [B * H * blocks, block, span]
        products = torch.bmm(left, windows[:, offset : offset + height].reshape(-1, channels, span))
        # Entry (i, i + j) of a product is column i of the block against the window's column i + j: the band, seen as a
        # dense [block, reach].
        band = products.as_strided((products.shape[0], _BLOCK, reach), (products.stride(0), span + 1, 1))
        banded[..., offset * reach : (offset + 1) * reach] = band
    return volume[:, :, :width].permute(0, 3, 1, 2)
