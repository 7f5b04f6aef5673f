"""Whether a form of the selective scan computes the definition on this machine: a trial on a few numbers, before it is used for pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from vsvfi.ops.scan import reference


def fault(scan: reference.Scan, device: str) -> str | None:
    """Why a form is not to be used, or None: it fails here, or finds something else than the definition does.

    Args:
        scan: takes the arguments of `reference.scan`.
        device: where to try it.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu")

    with torch.inference_mode():
        u, delta = normal(2, 1, 64, 40)
        entering, leaving = normal(2, 1, 4, 16, 40)
        rates, (skip, bias) = -uniform(64, 16), uniform(2, 64)
        expected = reference.scan(u, delta, rates, entering, leaving, skip, bias, True)
        try:
            u, delta, rates, entering, leaving, skip, bias = (tensor.to(device) for tensor in (u, delta, rates, entering, leaving, skip, bias))
            found = scan(u, delta, rates, entering, leaving, skip, bias, True).cpu()
        except Exception as error:  # built for another GPU, another torch, another CUDA; a machine that LLVM makes no code for: each fails in its own way
            return f"its scan fails here ({type(error).__name__}: {str(error).strip().split(chr(10))[0]})"
        if found.shape != expected.shape or not float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max()):
            return "its scan does not compute the definition here"
    return None
