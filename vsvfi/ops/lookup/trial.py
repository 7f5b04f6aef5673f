"""Whether a form of the look-up computes the definition on this machine: a trial on a few numbers, before it is used for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vsvfi.ops.lookup import reference

type VolumeForm = Callable[[Sequence[Tensor], Tensor, int], Tensor]
type OnDemandForm = Callable[[Tensor, Sequence[Tensor], Tensor, int], Tensor]


def fault(from_volume: VolumeForm, on_demand: OnDemandForm) -> str | None:
    """Why a form is not to be used, or None: it fails here, or finds something else than the definition does.

    Args:
        from_volume: takes the arguments of `reference.from_volume`; tried on the CPU with the window that networks use, which compiles what it needs.
        on_demand: those of `reference.on_demand`.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    with torch.inference_mode():
        source, *targets = (normal(2, 40, *size) for size in ((5, 7), (9, 14), (4, 7)))
        volumes = [normal(2, 35, *target.shape[2:]) for target in targets]
        centres = 16 * torch.rand(2, 2, 5, 7, generator=generator, dtype=torch.float32, device="cpu") - 2
        centres[0, :, 0, :3] = torch.tensor([torch.nan, torch.inf, -1e30], dtype=torch.float32, device="cpu")
        try:
            found = from_volume(volumes, centres, 4), on_demand(source, targets, centres, 4)
        except Exception as error:  # a machine that LLVM makes no code for fails in its own way
            return f"its lookup fails here ({type(error).__name__}: {str(error).strip().split(chr(10))[0]})"
        expected = reference.from_volume(volumes, centres, 4), reference.on_demand(source, targets, centres, 4)
        for one, other in zip(found, expected, strict=True):
            if one.shape != other.shape or not float((one - other).abs().max()) < 1e-4 * float(other.abs().max()):
                return "its lookup does not compute the definition here"
    return None
