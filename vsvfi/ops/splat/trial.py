"""Whether a form of splatting computes the definition on this machine: a trial on a few numbers, before it is used for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vsvfi.ops.splat import reference

type Form = Callable[[Sequence[Tensor], Tensor, Tensor | None], list[Tensor]]


def fault(form: Form) -> str | None:
    """Why a form is not to be used, or None: it fails here, or finds something else than the definition does.

    Args:
        form: takes the arguments of `reference.splat_values`; tried on the CPU with weights and without, which compiles what it needs for either.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    with torch.inference_mode():
        values = [normal(batch, channels, 9, 13) for batch, channels in ((2, 3), (1, 29))]
        displacement = 2 * normal(2, 2, 9, 13)
        displacement[0, :, 3, 3:6] = torch.tensor([torch.nan, torch.inf, -1e30], dtype=torch.float32, device="cpu")
        for weight in (None, torch.rand(2, 1, 9, 13, generator=generator, dtype=torch.float32, device="cpu")):
            expected = reference.splat_values(values, displacement, weight)
            try:
                found = form(values, displacement, weight)
            except Exception as error:  # a machine that LLVM makes no code for fails in its own way
                return f"its splat fails here ({type(error).__name__}: {str(error).strip().split(chr(10))[0]})"
            for one, other in zip(found, expected, strict=True):
                if one.shape != other.shape or not float((one - other).abs().max()) < 1e-4 * float(other.abs().max()):
                    return "its splat does not compute the definition here"
    return None
