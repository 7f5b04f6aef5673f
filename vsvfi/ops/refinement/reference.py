"""The definitions of the refinement operators in plain torch: differentiable, on any device."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.warp import backward_warp, backward_warp_at, resize_bilinear


def warp_pair(
    first: Tensor, second: Tensor, flow: Tensor, state: Tensor, times: Tensor, step: int, ratio: int
) -> Tensor:
    """The input of a block; see `vsvfi.ops.refinement.warp_pair`."""
    warped = warped_and_reduced(first, second, flow, Fraction(step))
    state = resize_bilinear(state, Fraction(ratio)).float()
    time = times.float().reshape(-1, 1, 1, 1).expand(state.shape[0], 1, *state.shape[2:])
    joined = torch.cat((*warped[:2], time, state, warped[2]), 1)
    return joined.contiguous(memory_format=torch.channels_last)


def warped_and_reduced(first: Tensor, second: Tensor, flow: Tensor, step: Fraction) -> tuple[Tensor, Tensor, Tensor]:
    """Both images warped and reduced by `step`, any power of two, and the flow reduced and in pixels of that size.

    Reducing by an even step averages the four pixels in the middle of each cell, so only those are warped.
    """
    if step >= 2:
        if step > 2:
            rows, columns = (_middle(length, int(step), flow.device) for length in flow.shape[-2:])
            flow = flow.index_select(2, rows).index_select(3, columns)
            y, x = rows.float(), columns.float()
            first, second = backward_warp_at(first, flow[:, :2], y, x), backward_warp_at(second, flow[:, 2:], y, x)
        else:
            first, second = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
        first, second, flow = (functional.avg_pool2d(values, 2) for values in (first, second, flow))
    else:
        first, second = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
        first, second, flow = (resize_bilinear(values, 1 / step) for values in (first, second, flow))
    return first, second, flow / float(step)


def blend_pair(first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """The blend of both warped images; see `vsvfi.ops.refinement.blend_pair`."""
    warped = backward_warp(first[:, :3], flow[:, :2]), backward_warp(second[:, :3], flow[:, 2:])
    return torch.lerp(warped[1], warped[0], mask).contiguous(memory_format=torch.channels_last)


def add_flow(flow: Tensor | None, change: Tensor, step: int) -> Tensor:
    """The flow with what a block adds to it; see `vsvfi.ops.refinement.add_flow`."""
    change = resize_bilinear(change, Fraction(step)) * step
    total = change if flow is None else flow + change
    return total.contiguous(memory_format=torch.channels_last)


def _middle(length: int, step: int, device: torch.device) -> Tensor:
    """The two positions in the middle of each cell of `step` pixels."""
    starts = torch.arange(step // 2 - 1, length, step, dtype=torch.int64, device=device)
    return torch.stack((starts, starts + 1), 1).flatten()
