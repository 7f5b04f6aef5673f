"""Deformable separable convolution on CUDA: launches the kernel of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cuda import TYPES, Argument, KernelFile, Launcher

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
COLUMNS, ROWS = 32, 8
"""Pixels of a block."""


def run(
    launcher: Launcher[object, object],
    image: Tensor,
    vertical: Tensor,
    horizontal: Tensor,
    alpha: Tensor,
    beta: Tensor,
    mask: Tensor,
    top: int,
    left: int,
) -> Tensor:
    """Compute D, channels last in memory; see `vsvfi.ops.sepconv.reference.sepconv`.

    Inputs are read in place, with any strides. Maps are converted to float32 if their types differ or are not
    supported by the kernels.
    """
    image = image.float()
    maps = [vertical, horizontal, alpha, beta, mask]
    if len({values.dtype for values in maps}) > 1 or alpha.dtype not in TYPES:
        maps = [values.float() for values in maps]
    batch, _, height, width = alpha.shape
    result = torch.empty(batch, height, width, image.shape[1], dtype=torch.float32, device=image.device).permute(
        0, 3, 1, 2
    )
    arguments: list[Argument] = []
    for tensor in (image, *maps):
        arguments += (tensor, *_strides(tensor))
    launcher.launch(
        KERNELS,
        "sepconv",
        [
            *arguments,
            result,
            *_strides(result),
            *(np.int32(number) for number in (*image.shape[1:], height, width, top, left)),
        ],
        device=image.device,
        grid=(-(-width // COLUMNS), -(-height // ROWS), batch),
        block=(COLUMNS, ROWS, 1),
        types={"ELEMENT": maps[0].dtype},
    )
    return result


def _strides(tensor: Tensor) -> tuple[np.int64, ...]:
    """Strides of [B, C, H, W] as kernels take them; 0 along a batch of one, which then serves any batch."""
    batch, *others = tensor.stride()
    return tuple(np.int64(stride) for stride in (batch if tensor.shape[0] > 1 else 0, *others))
