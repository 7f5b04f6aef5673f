"""The deformable separable convolution on CUDA: the operator `vsvfi::sepconv`, whose import registers it. Checks no arguments; needs CuPy only to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.cupy_kernels import TYPES, Argument, KernelFile

KERNELS = KernelFile(Path(__file__).with_name("kernel.cu"))
COLUMNS, ROWS = 32, 8
"""Pixels of a block."""


def run(image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int) -> Tensor:
    """D; see `vsvfi.ops.sepconv.reference.sepconv`, which has the same arguments.

    Any strides are read where they are. Maps of one type are read as they are, of several types or of one that kernels do not know in float32.
    """
    image = image.float()
    maps = [vertical, horizontal, alpha, beta, mask]
    if len({values.dtype for values in maps}) > 1 or alpha.dtype not in TYPES:
        maps = [values.float() for values in maps]
    batch, _, height, width = alpha.shape
    result = torch.empty(batch, image.shape[1], height, width, dtype=torch.float32, device=image.device)
    arguments: list[Argument] = []
    for tensor in (image, *maps):
        arguments += (tensor, *_strides(tensor))
    KERNELS.launch(
        "sepconv",
        [*arguments, result, *(np.int32(number) for number in (*image.shape[1:], height, width, top, left))],
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


def _shape(image: Tensor, vertical: Tensor, horizontal: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, top: int, left: int) -> Tensor:
    """What `run` returns, without its content."""
    batch, _, height, width = alpha.shape
    return torch.empty(batch, image.shape[1], height, width, dtype=torch.float32, device=image.device)


torch.library.custom_op("vsvfi::sepconv", run, mutates_args=(), device_types="cuda").register_fake(_shape)
