"""Splatting on CUDA: the operators `vsvfi::splat_total` and `vsvfi::splat_values`, whose import registers them. Checks no arguments; needs CuPy only to run.

Two operators, so that values that share a displacement share the summed weights. Their shapes are known without running them (torch.compile, export).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cupy_kernels import TYPES, Argument, KernelFile

KERNELS = KernelFile(Path(__file__).with_name("kernel.cu"))
PIXELS, CHANNELS, THREADS = 64, 32, 256
"""As in the kernel: pixels of a row and channels that a block takes, and its threads."""


def total(displacement: Tensor, weight: Tensor | None) -> Tensor:
    """The summed weights D.

    Args:
        displacement: [B, 2, H, W], any floating type and strides; used in float32.
        weight: [B or 1, 1, H, W], used in float32; None for 1.

    Returns:
        [B, 1, H, W] float32.
    """
    displacement = _readable(displacement)
    batch, _, height, width = displacement.shape
    result = torch.zeros(batch, 1, height, width, dtype=torch.float32, device=displacement.device)
    KERNELS.launch(
        "splat_total",
        (displacement, *_strides(displacement), *_weight(weight), result, np.int32(height), np.int32(width)),
        device=displacement.device,
        grid=(-(-width // PIXELS), -(-height * PIXELS // THREADS), batch),
        block=(PIXELS, THREADS // PIXELS, 1),
        types={"ELEMENT": torch.float32, "DISPLACEMENT": displacement.dtype},
    )
    return result


def values(value: Tensor, displacement: Tensor, weight: Tensor | None, total: Tensor) -> Tensor:
    """The averages A / D, 0 where nothing arrives.

    Args:
        value: [B or 1, C, H, W], any floating type and strides.
        displacement: [B, 2, H, W], any floating type and strides; used in float32.
        weight: [B or 1, 1, H, W], used in float32; None for 1.
        total: D for the same displacement and weight, float32.

    Returns:
        [B, C, H, W] in the type of `value`; channels last in memory where `value` is, else contiguous.
    """
    given, value, displacement = value, _readable(value), _readable(displacement)
    batch, channels, height, width = displacement.shape[0], *value.shape[1:]
    sums = torch.zeros(batch, height, width, channels, dtype=torch.float32, device=value.device)
    in_place = value.dtype == torch.float32 and _memory_format(given) == torch.channels_last
    result = sums.permute(0, 3, 1, 2) if in_place else _empty(given, displacement, value.dtype)
    groups = -(-channels // CHANNELS)
    per_block = -(-channels // max(groups, 1))  # 33 channels go as 17 and 16 rather than as 32 and 1
    shape = tuple(np.int32(number) for number in (height, width, channels, per_block, groups))
    grid = (-(-width // PIXELS), height, batch * groups)
    types = {"ELEMENT": value.dtype, "DISPLACEMENT": displacement.dtype}
    scattered: tuple[Argument, ...] = (value, *_strides(value), displacement, *_strides(displacement), *_weight(weight), sums, *shape)
    KERNELS.launch("splat_sums", scattered, device=value.device, grid=grid, block=(THREADS, 1, 1), types=types)
    divided: tuple[Argument, ...] = (sums, total.contiguous(), result, *_strides(result), *shape)
    KERNELS.launch("splat_divide", divided, device=value.device, grid=grid, block=(THREADS, 1, 1), types=types)
    return result.to(given.dtype)


def _readable(tensor: Tensor) -> Tensor:
    """The tensor in a type that kernels know."""
    return tensor if tensor.dtype in TYPES else tensor.float()


def _strides(tensor: Tensor) -> tuple[np.int64, ...]:
    """Strides of [B, C, H, W] as kernels take them; 0 along a batch of one, which then serves any batch."""
    batch, *others = tensor.stride()
    return tuple(np.int64(stride) for stride in (batch if tensor.shape[0] > 1 else 0, *others))


def _weight(weight: Tensor | None) -> tuple[Argument, ...]:
    """The weight's arguments: pointer, strides of batch, row and column."""
    if weight is None:
        return None, np.int64(0), np.int64(0), np.int64(0)
    weight = weight.float()
    batch, _, row, column = _strides(weight)
    return weight, batch, row, column


def _memory_format(value: Tensor) -> torch.memory_format:
    """How the result for this value lies in memory."""
    return torch.channels_last if value.stride(1) == 1 and not value.is_contiguous() else torch.contiguous_format


def _empty(value: Tensor, displacement: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory for a result."""
    shape = (displacement.shape[0], *value.shape[1:])
    return torch.empty(shape, dtype=dtype, device=value.device, memory_format=_memory_format(value))


def _total_shape(displacement: Tensor, weight: Tensor | None) -> Tensor:
    """What `total` returns, without its content."""
    batch, _, height, width = displacement.shape
    return torch.empty(batch, 1, height, width, dtype=torch.float32, device=displacement.device)


def _values_shape(value: Tensor, displacement: Tensor, weight: Tensor | None, total: Tensor) -> Tensor:
    """What `values` returns, without its content."""
    return _empty(value, displacement, value.dtype)


torch.library.custom_op(
    "vsvfi::splat_total", total, mutates_args=(), device_types="cuda", schema="(Tensor displacement, Tensor? weight) -> Tensor"
).register_fake(_total_shape)
torch.library.custom_op(
    "vsvfi::splat_values", values, mutates_args=(), device_types="cuda", schema="(Tensor value, Tensor displacement, Tensor? weight, Tensor total) -> Tensor"
).register_fake(_values_shape)
