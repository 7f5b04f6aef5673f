"""The refinement operators on CUDA: one launch each of the kernels of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import Argument, KernelFile, Launcher, Size

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
THREADS = 256
"""Threads per block of `warp_pair`, as in the kernel."""
COLUMNS, ROWS = 32, 8
"""Pixels of a block of the others."""


def warp_pair(
    launcher: Launcher[object, object],
    first: Tensor,
    second: Tensor,
    flow: Tensor,
    state: Tensor,
    times: Tensor,
    step: int,
    ratio: int,
) -> Tensor:
    """See `vsvfi.ops.refinement.warp_pair`."""
    batch, _, height, width = flow.shape
    channels, kept, rows, columns = first.shape[1], state.shape[1], height // step, width // step
    size = 2 * channels + 1 + kept + 4
    times = times.float()
    between = np.int64(times.stride(0) if len(times) > 1 else 0)
    tensors = [argument for tensor in (first, second, flow, state) for argument in _image(tensor)]
    numbers = map(np.int32, (channels, kept, rows, columns, step, ratio))
    result = _result(flow, batch, rows, columns, size)
    _launch(
        launcher,
        "warp_pair",
        [*tensors, times, between, result, *numbers],
        flow.device,
        (-(-columns * size // THREADS), rows, batch),
        (THREADS, 1, 1),
    )
    return result


def blend_pair(launcher: Launcher[object, object], first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> Tensor:
    """See `vsvfi.ops.refinement.blend_pair`."""
    tensors = [argument for tensor in (first, second, flow, mask) for argument in _image(tensor)]
    batch, _, rows, columns = flow.shape
    result = _result(flow, batch, rows, columns, 3)
    _launch_pixels(launcher, "blend_pair", tensors, result)
    return result


def add_flow(launcher: Launcher[object, object], flow: Tensor | None, change: Tensor, step: int) -> Tensor:
    """See `vsvfi.ops.refinement.add_flow`."""
    batch, _, height, width = change.shape
    before: list[Argument] = [None, *[np.int64(0)] * 4] if flow is None else _image(flow)
    result = _result(change, batch, height * step, width * step, 4)
    _launch_pixels(launcher, "add_flow", [*before, *_image(change)], result, step)
    return result


def _launch_pixels(
    launcher: Launcher[object, object], name: str, tensors: list[Argument], result: Tensor, *numbers: int
) -> None:
    """A thread for every pixel of the result; its size follows it among the arguments."""
    batch, _, rows, columns = result.shape
    arguments = [*tensors, result, *map(np.int32, (rows, columns, *numbers))]
    grid = (-(-columns // COLUMNS), -(-rows // ROWS), batch)
    _launch(launcher, name, arguments, result.device, grid, (COLUMNS, ROWS, 1))


def _launch(
    launcher: Launcher[object, object],
    name: str,
    arguments: list[Argument],
    device: torch.device,
    grid: Size,
    block: Size,
) -> None:
    launcher.launch(KERNELS, name, arguments, device=device, grid=grid, block=block, types={})


def _result(like: Tensor, batch: int, rows: int, columns: int, channels: int) -> Tensor:
    """Memory for a result, channels last."""
    made = torch.empty(batch, rows, columns, channels, dtype=torch.float32, device=like.device)
    return made.permute(0, 3, 1, 2)


def _image(tensor: Tensor) -> list[Argument]:
    """A tensor in float32 and its strides as kernels take them; 0 along a batch of one, which serves any batch."""
    tensor = tensor.float()
    batch, *others = tensor.stride()
    return [tensor, *map(np.int64, (batch if tensor.shape[0] > 1 else 0, *others))]
