"""Bias and activation on CUDA: one launch of the kernel of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import TYPES, KernelFile, Launcher

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
THREADS = 256
"""Threads per block, as in the kernel."""


def run(launcher: Launcher[object, object], values: Tensor, bias: Tensor, slopes: Tensor) -> Tensor:
    """See `vsvfi.ops.activation.reference.activate`."""
    result = torch.empty_like(values)
    channels_last = values.is_contiguous(memory_format=torch.channels_last)
    inner = 1 if channels_last else values.shape[2] * values.shape[3]
    numbers = np.int32(slopes.numel() > 1), np.int32(values.shape[1]), np.int64(inner), np.int64(values.numel())
    launcher.launch(
        KERNELS,
        "activation",
        (values, bias, slopes, result, *numbers),
        device=values.device,
        grid=(-(-values.numel() // THREADS), 1, 1),
        block=(THREADS, 1, 1),
        types={"ELEMENT": values.dtype},
    )
    return result


def declines(values: Tensor, bias: Tensor, slopes: Tensor) -> str | None:
    """Why the kernel cannot compute a call, or None."""
    if {tensor.dtype for tensor in (values, bias, slopes)} - {values.dtype} or values.dtype not in TYPES:
        return f"values of {values.dtype} with a bias of {bias.dtype} and slopes of {slopes.dtype}"
    dense = values.is_contiguous() or values.is_contiguous(memory_format=torch.channels_last)
    return None if dense else "values that do not lie densely in memory"
