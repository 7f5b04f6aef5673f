"""Adapt the scan kernel of mamba_ssm, which is imported when called."""

from __future__ import annotations

import importlib

from torch import Tensor

from vsvfi.ops.scan import reference


def run(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    softplus: bool,
    reads: Tensor,
    writes: Tensor,
) -> Tensor:
    """See `vsvfi.ops.scan.scan_paths`; tokens are copied in each path's order, since the kernel has no indices."""
    return reference.scan_paths(u, delta, A, B, C, D, delta_bias, softplus, reads, writes, scan)


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    softplus: bool,
) -> Tensor:
    """See `vsvfi.ops.scan.scan`."""
    published = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    inputs = [tensor.to(u.dtype).contiguous() for tensor in (u, delta)]
    shared = [tensor.to(u.dtype).contiguous() for tensor in (B, C)]
    skip, bias = (None if tensor is None else tensor.float().contiguous() for tensor in (D, delta_bias))
    y: Tensor = published(
        *inputs, A.float().contiguous(), *shared, skip, z=None, delta_bias=bias, delta_softplus=softplus
    )
    return y
