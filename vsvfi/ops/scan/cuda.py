"""Selective scan on CUDA: launches the kernels of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.cuda import TYPES, Argument, KernelFile, Launcher

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
STATES, CHANNELS, TILE = 16, 128, 32
"""As in the kernel: states of a channel, channels of a block, tokens of a tile."""

_THREADS = 1 << 17
"""Target number of threads, slightly above what the largest GPUs run at once.

It is the same on every GPU, so that results do not depend on the GPU's size.
"""

_SHORTEST = 64
"""Minimum positions of a chunk, to keep the overhead of its first pass and carried state small."""

_LOG2E = 1.4426950408889634


def run(
    launcher: Launcher[object, object],
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
) -> Tensor:
    """See `vsvfi.ops.scan.scan_paths`; at most STATES states."""
    dtype = u.dtype if u.dtype in TYPES else torch.float32
    (batch, length, channels), (paths, _, states), device = u.shape, A.shape, u.device
    value = u.to(dtype)
    value = value if value.stride(2) == 1 else value.contiguous()
    steps = delta.to(dtype).contiguous()
    shared = [_by_state(tensor.to(dtype), STATES - states) for tensor in (B, C)]
    rates = functional.pad(A.float() * _LOG2E, (0, STATES - states)).transpose(1, 2).contiguous()
    skip, bias = D.float().contiguous(), delta_bias.float().contiguous()
    orders = [order.to(torch.int32).contiguous() for order in (reads, writes)]
    chunk_length = chunk_length_of(length, batch * paths * channels)
    chunks = -(-length // chunk_length)
    y = torch.empty(batch, paths, length, channels, dtype=dtype, device=device)
    kept = (batch, paths, chunks, STATES, channels) if chunks > 1 else (0,)
    state = torch.empty(kept, dtype=torch.float32, device=device)
    sums = torch.empty(batch, paths, chunks, channels, dtype=torch.float32, device=device)
    sizes = tuple(np.int32(number) for number in (softplus, length, channels, paths, chunk_length, chunks))
    tokens = (*_with_strides(value, 2), steps, rates)
    entering, leaving = (_with_strides(tensor, 3) for tensor in shared)
    types, groups = {"ELEMENT": dtype}, -(-channels // CHANNELS)
    if chunks > 1:
        arguments = (*tokens, *entering, bias, orders[0], state, sums, *sizes)
        launcher.launch(
            KERNELS,
            "scan_chunks",
            arguments,
            device=device,
            grid=(chunks - 1, groups, batch * paths),
            block=(CHANNELS, 1, 1),
            types=types,
        )
        carried: tuple[Argument, ...] = (
            rates,
            state,
            sums,
            *(np.int32(number) for number in (channels, paths, chunks)),
        )
        grid = (-(-STATES * channels // 256), batch * paths, 1)
        launcher.launch(KERNELS, "scan_carry", carried, device=device, grid=grid, block=(256, 1, 1), types=types)
    outputs = (*tokens, *entering, *leaving, skip, bias, *orders, state if chunks > 1 else None, y, *sizes)
    launcher.launch(
        KERNELS,
        "scan_outputs",
        outputs,
        device=device,
        grid=(chunks, groups, batch * paths),
        block=(CHANNELS, 1, 1),
        types=types,
    )
    return (y[:, 0] if paths == 1 else y.sum(1, dtype=torch.float32)).to(u.dtype)


def chunk_length_of(length: int, channels: int) -> int:
    """Choose the positions per chunk, a multiple of TILE: enough chunks to fill a large GPU, but none too short.

    Args:
        length: positions of a path.
        channels: total over all paths and images.
    """
    wanted = max(-(-_THREADS // max(channels, 1)), 1)
    return -(-max(-(-length // wanted), _SHORTEST) // TILE) * TILE


def _with_strides(tensor: Tensor, count: int) -> tuple[Argument, ...]:
    """A tensor as kernel arguments: the pointer and the first `count` strides."""
    return tensor, *(np.int64(stride) for stride in tensor.stride()[:count])


def _by_state(tensor: Tensor, missing: int) -> Tensor:
    """B or C with contiguous states, padded to STATES."""
    if missing:
        tensor = functional.pad(tensor, (0, missing))
    return tensor if tensor.stride(3) == 1 else tensor.contiguous()
