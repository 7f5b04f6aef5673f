"""Compute scans in the published shapes with kernels for paths: one path, in memory order, per channel group."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

type ScanPaths = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, bool, Tensor, Tensor], Tensor]
"""u, delta, A, B, C, D, delta_bias, softplus, reads, writes -> y; see `vsvfi.ops.scan.scan_paths`."""


def by_group(
    scan_paths: ScanPaths,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    softplus: bool,
) -> Tensor:
    """Compute `vsvfi.ops.scan.scan` with a kernel for paths, group by group, since paths share u and groups do not."""
    groups, channels = B.shape[1], u.shape[1]
    width = channels // groups
    order = torch.arange(u.shape[2], dtype=torch.int32, device=u.device)[None]
    skip = A.new_zeros(channels) if D is None else D
    bias = A.new_zeros(channels) if delta_bias is None else delta_bias
    parts = []
    for group in range(groups):
        part = slice(group * width, (group + 1) * width)
        values, steps = (tensor[:, part].transpose(1, 2) for tensor in (u, delta))
        entering, leaving = (tensor[:, group].transpose(1, 2)[:, None] for tensor in (B, C))
        y = scan_paths(
            values,
            steps[:, None],
            A[None, part],
            entering,
            leaving,
            skip[None, part],
            bias[None, part],
            softplus,
            order,
            order,
        )
        parts.append(y.transpose(1, 2))
    return torch.cat(parts, 1)
