"""The operators on blocks on CUDA: launches the kernels of `cuda.cu`. Checks no arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vsvfi.ops.blocks.reference import APART, AROUND, CONTRAST, DISTANCE, LEFT, LUMA, STEP, STRICTNESS
from vsvfi.ops.cuda import Argument, KernelFile, Launcher, Size

KERNELS = KernelFile(Path(__file__).with_name("cuda.cu"))
COLUMNS, ROWS = 32, 8
"""Pixels of a block of threads."""
CELLS = 64
"""Cells of a row that a block of threads of `block_scores` takes."""


def normalise(launcher: Launcher[object, object], image: Tensor, luma: bool) -> Tensor:
    """See `vsvfi.ops.blocks.normalise`."""
    batch, channels, rows, columns = image.shape
    made, squares = _planes(image, batch, channels, rows, columns), _planes(image, batch, 1, rows, columns)
    size = _numbers(channels, rows, columns, AROUND // 2)
    _launch(launcher, "difference", [*_image(image), made, squares, *size], made)
    result = _planes(image, batch, 1, rows, columns) if luma else None
    shares = [np.float32(number) for number in (*LUMA, CONTRAST**2)]
    _launch(launcher, "deviation", [made, squares, result, *shares, *size], made)
    return made if result is None else result


def block_scores(launcher: Launcher[object, object], first: Tensor, second: Tensor, down: int, across: int) -> Tensor:
    """See `vsvfi.ops.blocks.block_scores`."""
    batch, channels, rows, columns = first.shape
    displacements = (2 * down + 1) * (2 * across + 1)
    result = _planes(first, batch, displacements, rows // STEP, columns // STEP)
    arguments = [*_image(first), *_image(second), result, *_numbers(channels, rows, columns, down, across)]
    grid = (-(-result.shape[3] // CELLS), result.shape[2], batch * displacements)
    _start(launcher, "block_scores", arguments, result, grid, (CELLS, 1, 1))
    return result


def best_block(
    launcher: Launcher[object, object],
    scores: Tensor,
    down: int,
    across: int,
    offset_down: float,
    offset_across: float,
) -> Tensor:
    """See `vsvfi.ops.blocks.best_block`."""
    batch, _, rows, columns = scores.shape
    result = _planes(scores, batch, 3, rows, columns)
    offsets = [np.float32(number) for number in (offset_down, offset_across, DISTANCE)]
    size = _numbers(rows, columns, down, across)
    _launch(launcher, "best_block", [*_image(scores), result, *size, *offsets], result)
    return result


def candidate_errors(
    launcher: Launcher[object, object],
    own: Tensor,
    others: Tensor,
    flow: Tensor,
    other: Tensor | None,
    blocks: Tensor,
    apart: int,
    top: int,
) -> Tensor:
    """See `vsvfi.ops.blocks.candidate_errors`."""
    batch, channels, rows, columns = own.shape
    result = _planes(own, (1 if other is None else 2) + 4 * len(blocks), batch, rows, columns)
    size = _numbers(channels, rows, columns, *others.shape[2:], apart, top)
    arguments = [*_image(own), *_image(others), *_flows(flow, other, blocks), result, *size, np.float32(LEFT)]
    _launch(launcher, "candidate_errors", arguments, own)
    return result


def weigh_candidates(
    launcher: Launcher[object, object],
    errors: Tensor,
    flow: Tensor,
    other: Tensor | None,
    blocks: Tensor,
    around: Tensor | None,
    cost: float,
) -> Tensor:
    """See `vsvfi.ops.blocks.weigh_candidates`."""
    _, batch, rows, columns = errors.shape
    result = _planes(flow, batch, 2, rows, columns)
    shares = [np.float32(number) for number in (STRICTNESS, cost, APART)]
    arguments = [errors.contiguous(), *_flows(flow, other, blocks), *_image(around), result, *_numbers(rows, columns)]
    _launch(launcher, "weigh_candidates", [*arguments, *shares], result)
    return result


def _launch(launcher: Launcher[object, object], name: str, arguments: Sequence[Argument], like: Tensor) -> None:
    """A thread for every pixel of `like`."""
    batch, _, rows, columns = like.shape
    grid = (-(-columns // COLUMNS), -(-rows // ROWS), batch)
    _start(launcher, name, arguments, like, grid, (COLUMNS, ROWS, 1))


def _start(
    launcher: Launcher[object, object],
    name: str,
    arguments: Sequence[Argument],
    like: Tensor,
    grid: Size,
    block: Size,
) -> None:
    launcher.launch(KERNELS, name, arguments, device=like.device, grid=grid, block=block, types={})


def _planes(like: Tensor, *shape: int) -> Tensor:
    """Memory for a result."""
    return torch.empty(shape, dtype=torch.float32, device=like.device)


def _numbers(*numbers: int) -> list[Argument]:
    return [np.int32(number) for number in numbers]


def _image(tensor: Tensor | None) -> list[Argument]:
    """A tensor [B, C, H, W] in float32 and its strides."""
    if tensor is None:
        return [None, *[np.int64(0)] * 4]
    tensor = tensor.float()
    return [tensor, *(np.int64(stride) for stride in tensor.stride())]


def _flows(flow: Tensor, other: Tensor | None, blocks: Tensor) -> list[Argument]:
    """The flows of pixels, and those of blocks, [n, B, 2, h, w], with their number and size."""
    blocks = blocks.float()
    strides = [np.int64(stride) for stride in blocks.stride()]
    return [*_image(flow), *_image(other), blocks, *strides, *_numbers(len(blocks), *blocks.shape[3:])]
