"""Backward warping on CUDA: one launch of the kernel of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import TYPES, KernelFile, Launcher

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
THREADS = 256
"""Threads per block, as in the kernel."""


def run(launcher: Launcher[object, object], image: Tensor, flow: Tensor, top: int) -> Tensor:
    """See `vsvfi.ops.warp.reference.warp_strip`."""
    given = image if image.dtype in TYPES else image.float()
    flow = flow.float()
    batch, _, rows, columns = flow.shape
    channels, height = given.shape[1:3]
    result = torch.empty(batch, rows, columns, channels, dtype=given.dtype, device=flow.device)
    numbers = (np.int32(number) for number in (channels, rows, columns, height, top))
    launcher.launch(
        KERNELS,
        "warp",
        (given, *_strides(given), flow, *_strides(flow), result, *numbers),
        device=flow.device,
        grid=(-(-columns * channels // THREADS), rows, batch),
        block=(THREADS, 1, 1),
        types={"ELEMENT": given.dtype},
    )
    return result.permute(0, 3, 1, 2).to(image.dtype)


def _strides(tensor: Tensor) -> tuple[np.int64, ...]:
    """Strides of [B, C, H, W]; 0 along a batch of one, which then serves any batch."""
    batch, *others = tensor.stride()
    return tuple(np.int64(stride) for stride in (batch if tensor.shape[0] > 1 else 0, *others))
