"""Tolerances for results of networks."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

type Near = Callable[[Tensor, Tensor], bool]


def relatively_within(tolerance: float) -> Near:
    """Compare relative errors in the L2 norm."""
    return lambda result, expected: float((result - expected).norm() / expected.norm()) < tolerance
