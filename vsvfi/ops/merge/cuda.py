"""Merging on CUDA: one launch of the kernel of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import TYPES, Argument, KernelFile, Launcher

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
COLUMNS, ROWS = 32, 8
"""Pixels of a block of threads."""


def run(launcher: Launcher[object, object], output: Tensor, first: Tensor, second: Tensor, times: Tensor) -> Tensor:
    """See `vsvfi.ops.merge.merge_images`."""
    output = output if output.dtype in TYPES else output.float()
    batch, _, rows, columns = output.shape
    result = torch.empty(batch, rows, columns, 3, dtype=torch.float32, device=output.device)
    times = times.float()
    between = np.int64(times.stride(0) if len(times) > 1 else 0)
    images = [*_image(output), *_image(first.float()), *_image(second.float())]
    launcher.launch(
        KERNELS,
        "merge_images",
        [*images, times, between, result, np.int32(rows), np.int32(columns)],
        device=output.device,
        grid=(-(-columns // COLUMNS), -(-rows // ROWS), batch),
        block=(COLUMNS, ROWS, 1),
        types={"ELEMENT": output.dtype},
    )
    return result.permute(0, 3, 1, 2)


def _image(tensor: Tensor) -> list[Argument]:
    """A tensor [B, C, H, W] and its strides; 0 along a batch of one, which then serves any batch."""
    batch, *others = tensor.stride()
    return [tensor, *map(np.int64, (batch if tensor.shape[0] > 1 else 0, *others))]
