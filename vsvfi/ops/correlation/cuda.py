"""The local correlation on CUDA: one launch of the kernel of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import TYPES, Argument, KernelFile, Launcher

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
THREADS = 256
"""Threads per block, as in the kernel."""


def run(launcher: Launcher[object, object], first: Tensor, second: Tensor, radius: int) -> Tensor:
    """See `vsvfi.ops.correlation.reference.local_correlation`."""
    given = [tensor if tensor.dtype in TYPES else tensor.float() for tensor in (first, second)]
    batch, channels, rows, columns = first.shape
    volume = (2 * radius + 1) ** 2
    result = torch.empty(batch, rows, columns, volume, dtype=given[0].dtype, device=first.device)
    features: list[Argument] = []
    for tensor in given:
        features += [tensor, *(np.int64(stride) for stride in tensor.stride())]
    launcher.launch(
        KERNELS,
        "correlation",
        (*features, result, *(np.int32(number) for number in (channels, rows, columns, radius))),
        device=first.device,
        grid=(-(-columns * volume // THREADS), rows, batch),
        block=(THREADS, 1, 1),
        types={"ELEMENT": given[0].dtype},
    )
    return result.permute(0, 3, 1, 2).to(first.dtype)
