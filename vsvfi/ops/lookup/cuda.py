"""Correlation look-up on CUDA: launches the kernels of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import Argument, KernelFile, Launcher, Size

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
THREADS = 256
"""Threads per block, as in the kernel."""


def from_volume(launcher: Launcher[object, object], levels: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """As `vsvfi.ops.lookup.reference.from_volume`, of any strides of the centres."""
    result = _result(levels[0], len(levels), centres, radius)
    batch, _, rows, columns = centres.shape
    window = (2 * radius + 1) ** 2
    for number, level in enumerate(levels):
        given = level.contiguous()
        if not _cleared(result, level, number, window):
            arguments = (
                given,
                _batch(given),
                centres,
                *_strides(centres),
                result,
                *_sizes(result, level, number, radius),
            )
            _launch(launcher, "lookup_volume", arguments, given, (-(-rows * columns * window // THREADS), batch, 1))
    return result


def on_demand(
    launcher: Launcher[object, object], source: Tensor, targets: Sequence[Tensor], centres: Tensor, radius: int
) -> Tensor:
    """As `vsvfi.ops.lookup.reference.on_demand`, of any strides."""
    result = _result(source, len(targets), centres, radius)
    batch, _, rows, columns = centres.shape
    window = (2 * radius + 1) ** 2
    source = _channels_last(source)
    for number, level in enumerate(targets):
        target = _channels_last(level)
        if not _cleared(result, level, number, window):
            features = (source, _batch(source), target, _batch(target), np.int32(source.shape[1]))
            arguments = (*features, centres, *_strides(centres), result, *_sizes(result, level, number, radius))
            _launch(launcher, "lookup_on_demand", arguments, source, (rows * columns, batch, 1))
    return result


def _launch(
    launcher: Launcher[object, object], name: str, arguments: tuple[Argument, ...], element: Tensor, grid: Size
) -> None:
    launcher.launch(
        KERNELS,
        name,
        arguments,
        device=element.device,
        grid=grid,
        block=(THREADS, 1, 1),
        types={"ELEMENT": element.dtype},
    )


def _cleared(result: Tensor, level: Tensor, number: int, window: int) -> bool:
    """Zero the windows of a level that is one pixel wide or high; returns whether it was."""
    thin = 1 in level.shape[2:]
    if thin:
        result[:, number * window : (number + 1) * window] = 0
    return thin


def _sizes(result: Tensor, level: Tensor, number: int, radius: int) -> tuple[np.int32 | np.float32, ...]:
    """The arguments after `result`."""
    numbers = (*result.shape[2:], *level.shape[2:], radius)
    return (
        *map(np.int32, numbers),
        np.float32(0.5**number),
        np.int32(result.shape[1]),
        np.int32(number * (2 * radius + 1) ** 2),
    )


def _batch(tensor: Tensor) -> np.int64:
    """Elements from one sample to the next; 0 where one serves a whole batch."""
    return np.int64(tensor.stride(0) if tensor.shape[0] > 1 else 0)


def _strides(centres: Tensor) -> tuple[np.int64, ...]:
    return tuple(np.int64(stride) for stride in centres.stride())


def _channels_last(features: Tensor) -> Tensor:
    """The features with contiguous channels and pixels; copied only if needed."""
    return features.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _result(like: Tensor, levels: int, centres: Tensor, radius: int) -> Tensor:
    """Memory for a result, channels last."""
    batch, _, height, width = centres.shape
    return torch.empty(
        batch, height, width, levels * (2 * radius + 1) ** 2, dtype=like.dtype, device=like.device
    ).permute(0, 3, 1, 2)
