"""Splatting on CUDA: launches the kernels of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import TYPES, Argument, KernelFile, Launcher

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
PIXELS, CHANNELS, THREADS = 64, 32, 256
"""As in the kernel: pixels of a row and channels that a block takes, and its threads."""


def run(
    launcher: Launcher[object, object], values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None
) -> list[Tensor]:
    """Return A / D for each of `values`, then D; see `vsvfi.ops.splat.reference.splat_sums`.

    Inputs are read in place, with any strides; types that the kernels do not support are converted to float32.
    """
    displacement = _readable(displacement)
    total = summed_weights(launcher, displacement, weight)
    return [*(average(launcher, value, displacement, weight, total) for value in values), total]


def summed_weights(launcher: Launcher[object, object], displacement: Tensor, weight: Tensor | None) -> Tensor:
    """D, [B, 1, H, W] float32."""
    batch, _, height, width = displacement.shape
    result = torch.zeros(batch, 1, height, width, dtype=torch.float32, device=displacement.device)
    launcher.launch(
        KERNELS,
        "splat_total",
        (displacement, *_strides(displacement), *_weight(weight), result, np.int32(height), np.int32(width)),
        device=displacement.device,
        grid=(-(-width // PIXELS), -(-height * PIXELS // THREADS), batch),
        block=(PIXELS, THREADS // PIXELS, 1),
        types={"ELEMENT": torch.float32, "DISPLACEMENT": displacement.dtype},
    )
    return result


def average(
    launcher: Launcher[object, object], given: Tensor, displacement: Tensor, weight: Tensor | None, total: Tensor
) -> Tensor:
    """A / D of one value, 0 where nothing arrives: [B, C, H, W] in its type, channels last in memory."""
    value = _readable(given)
    batch, channels, height, width = displacement.shape[0], *value.shape[1:]
    sums = torch.zeros(batch, height, width, channels, dtype=torch.float32, device=value.device)
    result = sums if value.dtype == torch.float32 else torch.empty_like(sums, dtype=value.dtype)
    image = result.permute(0, 3, 1, 2)
    groups = -(-channels // CHANNELS)
    per_block = -(-channels // max(groups, 1))  # 33 channels go as 17 and 16 rather than as 32 and 1
    shape = tuple(np.int32(number) for number in (height, width, channels, per_block, groups))
    grid = (-(-width // PIXELS), height, batch * groups)
    types = {"ELEMENT": value.dtype, "DISPLACEMENT": displacement.dtype}
    scattered: tuple[Argument, ...] = (
        value,
        *_strides(value),
        displacement,
        *_strides(displacement),
        *_weight(weight),
        sums,
        *shape,
    )
    launcher.launch(
        KERNELS, "splat_sums", scattered, device=value.device, grid=grid, block=(THREADS, 1, 1), types=types
    )
    divided: tuple[Argument, ...] = (sums, total, image, *_strides(image), *shape)
    launcher.launch(
        KERNELS, "splat_divide", divided, device=value.device, grid=grid, block=(THREADS, 1, 1), types=types
    )
    return image.to(given.dtype)


def _readable(tensor: Tensor) -> Tensor:
    """The tensor in a type that the kernels support."""
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
