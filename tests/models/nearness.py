"""How near results of networks have to be."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

type Near = Callable[[Tensor, Tensor], bool]


def relatively_within(tolerance: float) -> Near:
    """In the L2 norm."""
    return lambda result, expected: float((result - expected).norm() / expected.norm()) < tolerance
