"""Whether a form of the deformable separable convolution computes the definition on this machine: a trial on a few numbers, before it is used for pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vsvfi.ops.sepconv import reference


def fault(form: Callable[..., Tensor]) -> str | None:
    """Why a form is not to be used, or None: it fails here, or finds something else than the definition does.

    Args:
        form: takes the arguments of `reference.sepconv`; tried on the CPU.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    with torch.inference_mode():
        image = torch.rand(2, 3, 7, 9, generator=generator, dtype=torch.float32, device="cpu")
        vertical, horizontal = normal(2, 2, 5, 5, 6)
        alpha, beta, mask = 3 * normal(3, 2, 25, 5, 6)
        alpha[0, :, 1, 1] = 1e30
        given = (image, vertical, horizontal, alpha, beta, mask, 1, 2)
        expected = reference.sepconv(*given)
        try:
            found = form(*given)
        except Exception as error:  # a machine that LLVM makes no code for fails in its own way
            return f"its sepconv fails here ({type(error).__name__}: {str(error).strip().split(chr(10))[0]})"
        if found.shape != expected.shape or not float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max()):
            return "its sepconv does not compute the definition here"
    return None
