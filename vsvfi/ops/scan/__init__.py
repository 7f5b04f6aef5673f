"""Selective scan (S6, the recurrence of Mamba): a linear recurrence whose coefficients depend on the input.

Checks the arguments and calls the torch operator `vsvfi::scan` (`op`). The definition is `reference`. All kernels keep
the state in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vsvfi.ops.scan import op, reference
from vsvfi.ops.scan.grouped import by_group

_WARM = 70
"""Tokens of a warm-up call: more than one chunk of the CUDA kernels, so that all of them are loaded."""


class Paths(NamedTuple):
    """Orders in which tokens are visited: [K, L] int32 each, every row a permutation of 0 ... L - 1.

    Attributes:
        reads: the token at every position of a path.
        writes: the token to which the result of that position is added.
    """

    reads: Tensor
    writes: Tensor


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    softplus: bool = False,
) -> Tensor:
    """Compute the selective scan, with the shapes and conventions of the published kernel.

    With steps s = delta + delta_bias, through softplus if asked for, and h = 0 before the first position:
        h(l) = exp(s(l) A) h(l-1) + s(l) B(l) u(l)        y(l) = C(l) . h(l) + D u(l)

    Args:
        u: [batch, channels, L], any floating type.
        delta: like u.
        A: [channels, N], not positive.
        B: [batch, G, N, L]: shared by the channels / G channels of each of the G groups.
        C: like B.
        D: [channels], or None for 0.
        delta_bias: [channels], or None for 0.
        softplus: log(1 + exp(s)) in place of s.

    Returns:
        y like u, in its type; state and sums are float32 (float64 where u is).

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(u, delta, A, B, C, D, delta_bias)
    given = [u, delta, A, B, C, *(tensor for tensor in (D, delta_bias) if tensor is not None)]
    if _wants_gradients(given) or u.numel() == 0:
        return reference.scan(u, delta, A, B, C, D, delta_bias, softplus)
    return by_group(op.scan, u, delta, A, B, C, D, delta_bias, softplus)


def scan_paths(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, paths: Paths
) -> Tensor:
    """Sum K scans along different orders of the same tokens.

    Tokens are read and written by index, without flipped, transposed or other copies. Each path has its own
    coefficients; steps always go through softplus. The result at position l of path k is added to token
    `paths.writes[k, l]`.

    Args:
        u: [batch, L, channels] tokens, any floating type.
        delta: [batch, K, L, channels], by token (not by position).
        A: [K, channels, N], not positive.
        B: [batch, K, L, N], by token.
        C: like B.
        D: [K, channels].
        delta_bias: [K, channels].
        paths: K orders.

    Returns:
        [batch, L, channels] in the type of u; states and sums are float32.

    Raises:
        ValueError: shapes do not match, or (checked on the CPU only) a path has an invalid token index.
    """
    _check_paths(u, delta, A, B, C, D, delta_bias, paths)
    if _wants_gradients((u, delta, A, B, C, D, delta_bias)):
        return reference.scan_paths(u, delta, A, B, C, D, delta_bias, True, *paths)
    y: Tensor = op.scan(u, delta, A, B, C, D, delta_bias, True, *paths)
    return y


def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """Load and compile the scan kernels for this device, so that no frame waits for it."""
    u, order = (
        torch.zeros(1, _WARM, 32, device=device, dtype=dtype),
        torch.arange(_WARM, dtype=torch.int32, device=device)[None],
    )
    shared, rates = u[:, None, :, :16], torch.zeros(1, 32, 16, device=device, dtype=torch.float32)
    skip = torch.zeros(1, 32, device=device, dtype=torch.float32)
    with torch.no_grad():
        scan_paths(u, u[:, None], rates, shared, shared, skip, skip, Paths(order, order))


def _wants_gradients(tensors: Sequence[Tensor]) -> bool:
    """Whether a call needs gradients, which kernels do not compute."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _check(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, delta_bias: Tensor | None
) -> None:
    """Check the shapes of `scan`."""
    if u.dim() != 3 or delta.shape != u.shape:
        raise ValueError(
            f"scan: delta={tuple(delta.shape)}, must be like u={tuple(u.shape)}, which must be [batch, channels, L]"
        )
    batch, channels, length = u.shape
    if A.dim() != 2 or A.shape[0] != channels:
        raise ValueError(f"scan: A={tuple(A.shape)}, must be [{channels}, N]")
    if (
        B.dim() != 4
        or B.shape[1] == 0
        or channels % B.shape[1]
        or (B.shape[0], *B.shape[2:]) != (batch, A.shape[1], length)
        or C.shape != B.shape
    ):
        raise ValueError(
            f"scan: B={tuple(B.shape)}, C={tuple(C.shape)}, must both be [{batch}, a divisor of {channels}, "
            f"{A.shape[1]}, {length}]"
        )
    for name, tensor in (("D", D), ("delta_bias", delta_bias)):
        if tensor is not None and tensor.shape != (channels,):
            raise ValueError(f"scan: {name}={tuple(tensor.shape)}, must be [{channels}]")


def _check_paths(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, delta_bias: Tensor, paths: Paths
) -> None:
    """Check the shapes of `scan_paths`."""
    if u.dim() != 3 or A.dim() != 3:
        raise ValueError(
            f"scan_paths: u={tuple(u.shape)}, A={tuple(A.shape)}, must be [batch, L, channels] and [K, channels, N]"
        )
    (batch, length, channels), (count, _, states) = u.shape, A.shape
    wanted = {
        "delta": (delta, (batch, count, length, channels)),
        "A": (A, (count, channels, states)),
        "B": (B, (batch, count, length, states)),
        "C": (C, (batch, count, length, states)),
        "D": (D, (count, channels)),
        "delta_bias": (delta_bias, (count, channels)),
        "paths.reads": (paths.reads, (count, length)),
        "paths.writes": (paths.writes, (count, length)),
    }
    for name, (tensor, shape) in wanted.items():
        if tensor.shape != shape:
            raise ValueError(
                f"scan_paths: {name}={tuple(tensor.shape)}, must be {list(shape)} to fit u={tuple(u.shape)} and "
                f"A={tuple(A.shape)}"
            )
    for name, order in zip(("paths.reads", "paths.writes"), paths, strict=True):
        if order.device.type == "cpu" and order.numel():  # on a GPU this would synchronise
            low, high = (int(bound) for bound in order.aminmax())
            if low < 0 or high >= length:
                raise ValueError(
                    f"scan_paths: {name} holds {low if low < 0 else high}, must hold tokens from 0 to {length - 1}"
                )
