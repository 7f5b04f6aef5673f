"""The scan kernel of mamba_ssm under our conventions. Imported only where that package works (see `vsvfi.ops.backends`)."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

from vsvfi.ops.scan import reference


def scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None, softplus: bool) -> Tensor:
    """See `vsvfi.ops.scan.scan`."""
    published = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    inputs = [tensor.to(u.dtype).contiguous() for tensor in (u, delta)]
    shared = [tensor.to(u.dtype).contiguous() for tensor in (B, C)]
    skip, bias = (None if tensor is None else tensor.float().contiguous() for tensor in (D, delta_bias))
    y: Tensor = published(*inputs, A.float().contiguous(), *shared, skip, z=None, delta_bias=bias, delta_softplus=softplus)
    return y


def scan_paths(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, reads: Tensor, writes: Tensor) -> Tensor:
    """See `vsvfi.ops.scan.scan_paths`; the kernel knows no order but the one in memory, so the tokens are copied into each."""
    return reference.scan_paths(u, delta, A, B, C, D, delta_bias, reads, writes, scan)


def fault(device: str = "cuda") -> str | None:
    """Why this kernel is not to be used: it fails here, or does not compute the definition. A trial on a few numbers."""
    generator = torch.Generator().manual_seed(0)
    u, delta = torch.randn(2, 1, 64, 40, generator=generator)
    entering, leaving = torch.randn(2, 1, 4, 16, 40, generator=generator)
    rates, (skip, bias) = -torch.rand(64, 16, generator=generator), torch.rand(2, 64, generator=generator)
    expected = reference.scan(u, delta, rates, entering, leaving, skip, bias, True)
    try:
        u, delta, rates, entering, leaving, skip, bias = (tensor.to(device) for tensor in (u, delta, rates, entering, leaving, skip, bias))
        found = scan(u, delta, rates, entering, leaving, skip, bias, True).cpu()
    except Exception as error:  # a kernel built for another GPU, another torch or another CUDA fails in its own way
        return f"its kernel fails here ({type(error).__name__}: {str(error).strip().split(chr(10))[0]})"
    if found.shape != expected.shape or not float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max()):
        return "its kernel does not compute the definition here"
    return None
