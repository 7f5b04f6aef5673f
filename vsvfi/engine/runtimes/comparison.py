"""Compare the result of a runtime with that of eager execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsvfi.engine.runtimes.signature import split


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a result is from the expected one, both in proportion to the expected result."""

    relative: float
    largest: float


BOUNDS = {
    torch.float32: Deviation(1e-4, 1e-3),
    torch.float16: Deviation(1e-2, 1e-1),
    torch.bfloat16: Deviation(5e-2, 3e-1),
}
"""The most that a runtime may deviate from eager, by the type that the network computes in."""


def deviation(found: Sequence[Tensor], expected: Sequence[Tensor]) -> Deviation:
    """The largest deviation of any tensor: of its norm, and of one value from the largest value. NaN is infinite."""
    relative = largest = 0.0
    for one, other in zip(found, expected, strict=True):
        if not other.numel():
            continue
        wanted, differs = other.float(), one.float() - other.float()
        tiny = torch.finfo(torch.float32).tiny
        shares = (
            float(differs.norm() / wanted.norm().clamp_min(tiny)),
            float(differs.abs().amax() / wanted.abs().amax().clamp_min(tiny)),
        )
        relative = max(relative, shares[0] if shares[0] == shares[0] else float("inf"))
        largest = max(largest, shares[1] if shares[1] == shares[1] else float("inf"))
    return Deviation(relative, largest)


def difference(found: object, expected: object, dtype: torch.dtype) -> str | None:
    """Return what is wrong with the result of a runtime, or None."""
    (tree, tensors), (wanted, references) = split(found), split(expected)
    if tree != wanted:
        return "the result has another structure than in eager execution"
    for one, other in zip(tensors, references, strict=True):
        if (one.shape, one.dtype, one.device) != (other.shape, other.dtype, other.device):
            return (
                f"a result is {one.dtype} {list(one.shape)} on {one.device}, "
                f"in eager execution {other.dtype} {list(other.shape)} on {other.device}"
            )
    there, most = deviation(tensors, references), BOUNDS[dtype]
    if there.relative <= most.relative and there.largest <= most.largest:
        return None
    return (
        f"its relative error against eager execution is {there.relative:.1e} (at most {most.relative:.0e}), "
        f"its largest difference {there.largest:.1e} (at most {most.largest:.0e})"
    )
