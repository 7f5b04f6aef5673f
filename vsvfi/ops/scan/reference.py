"""The definition of the selective scan in plain torch, differentiable.

Computes in float32 (float64 for float64 inputs), in blocks of positions, so that no tensor has positions x channels x
states elements.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

type Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, bool], Tensor]

_BLOCK = 64
"""Positions per block: small enough for a core's cache, large enough to keep Python's overhead small."""


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
    """y of the recurrence, checked by the caller; see `vsvfi.ops.scan.scan` for shapes."""
    work = torch.promote_types(u.dtype, torch.float32)
    values, steps = u.to(work), delta.to(work)
    if delta_bias is not None:
        steps = steps + delta_bias.to(work)[:, None]
    if softplus:
        steps = functional.softplus(steps)  # v itself for v > 20
    rates, groups = A.to(work), B.shape[1]
    width = u.shape[1] // groups
    state = values.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    found = []
    for start in range(0, u.shape[2], _BLOCK):
        block = slice(start, start + _BLOCK)
        # [l, B, channels, 1]
        step, value = (tensor[:, :, block].permute(2, 0, 1)[..., None] for tensor in (steps, values))
        # [l, B, channels, N]
        entering, leaving = (
            tensor[..., block].permute(3, 0, 1, 2).to(work).repeat_interleave(width, 2) for tensor in (B, C)
        )
        decays, gains = torch.exp(step * rates), step * value * entering
        states = []
        for decay, gain in zip(decays.unbind(), gains.unbind(), strict=True):
            state = torch.addcmul(gain, decay, state)
            states.append(state)
        found.append((torch.stack(states) * leaving).sum(3))
    y = torch.cat(found).permute(1, 2, 0)
    if D is not None:
        y = y + D.to(work)[:, None] * values
    return y.to(u.dtype)


def scan_paths(
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
    along: Scan = scan,
) -> Tensor:
    """Sum scans along several orders of the same tokens, with copies; see `vsvfi.ops.scan.scan_paths` for shapes."""
    (batch, _, width), (paths, length) = u.shape, reads.shape
    order, places = reads.long()[:, :, None].expand(batch, -1, -1, -1), writes.long()
    flat = (batch, paths * width, length)
    values = u[:, reads.long()].transpose(2, 3).reshape(flat)
    steps = delta.gather(2, order.expand(-1, -1, -1, width)).transpose(2, 3).reshape(flat)
    entering, leaving = (tensor.gather(2, order.expand(-1, -1, -1, A.shape[2])).transpose(2, 3) for tensor in (B, C))
    y = along(values, steps, A.flatten(0, 1), entering, leaving, D.flatten(), delta_bias.flatten(), softplus).reshape(
        batch, paths, width, length
    )
    total = u.new_zeros(u.shape, dtype=torch.promote_types(u.dtype, torch.float32))
    for path in range(paths):
        total = total.index_add(1, places[path], y[:, path].transpose(1, 2).to(total.dtype))
    return total.to(u.dtype)
