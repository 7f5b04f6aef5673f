"""Splatting on the CPU: divide images into bands of target rows and run the code of `cpu` for them on all cores.

The code runs without the GIL on threads started for each call, so calls may run concurrently.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vsvfi.ops.memory import Memory
from vsvfi.ops.splat import cpu
from vsvfi.ops.threads import in_parts

_WORTHWHILE = 1 << 19
"""Result elements per thread from which another thread saves more time than it takes to start."""

_WORKSPACE = 1 << 18
"""Approximate number of elements in the sums of one band, which should fit in a core's caches."""


def run(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    """Return A / D for each of `values`, then D, [B, 1, H, W] float32; see `vsvfi.ops.splat.reference.splat_sums`.

    None may be empty.

    Results are dense and channels last in memory. Values in float32 or bfloat16 with contiguous channels are read in
    place; others are copied first, and other types converted to float32.
    """
    displacement = displacement.detach().float()
    batch, _, height, width = displacement.shape
    low, high = displacement[:, 1].aminmax(dim=2)
    images = [_readable(value) for value in values]
    layouts = tuple(cpu.Layout(image.shape[1], image.dtype == torch.bfloat16) for image in images)
    function, depth = cpu.compiled(weight is not None, layouts), cpu.depth(layouts)
    results = [
        torch.empty(batch, height, width, image.shape[1], dtype=image.dtype, device=image.device) for image in images
    ]
    total = torch.empty(batch, height, width, dtype=torch.float32, device=displacement.device)
    weights = None if weight is None else weight.detach().float()[:, 0]

    plane = (batch, height, width)
    moves = Memory("splat: displacement", displacement, torch.float32, (batch, 2, height, width), dense=0)
    bounds = [Memory("splat: rows", bound, torch.float32, (batch, height)) for bound in (low, high)]
    heavy = (
        None
        if weights is None
        else Memory("splat: importance", weights, torch.float32, (len(weights), height, width), dense=0)
    )
    of_total = Memory("splat: total", total, torch.float32, plane)
    sources = [
        Memory(
            "splat: values",
            image.permute(0, 2, 3, 1),
            image.dtype,
            (len(image), height, width, image.shape[1]),
            dense=1,
        )
        for image in images
    ]
    targets = [
        Memory("splat: result", result, result.dtype, (*plane, image.shape[1]))
        for image, result in zip(images, results, strict=True)
    ]

    def task(index: int, begin: int, end: int, sums: int) -> None:
        fields: list[int] = []
        for source, target in zip(sources, targets, strict=True):
            fields += (source.at(index), *source.strides[1:3], target.at(index))
        table = (ctypes.c_int64 * len(fields))(*fields)
        function(
            ctypes.addressof(table),
            *(number for axis in range(2) for number in (moves.at(index, axis), *moves.strides[2:])),
            *(bound.at(index) for bound in bounds),
            *((0, 0, 0) if heavy is None else (heavy.at(index), *heavy.strides[1:])),
            sums,
            of_total.at(index),
            height,
            width,
            begin,
            end,
        )

    threads = min(torch.get_num_threads(), 1 + batch * height * width * depth // _WORTHWHILE)
    parts = threads // math.gcd(batch, threads)  # of an image, so that every thread has as many
    bands = min(height, parts * max(1, height * width * depth // (parts * _WORKSPACE)))
    tasks = [
        (index, height * band // bands, height * (band + 1) // bands) for index in range(batch) for band in range(bands)
    ]
    largest = max(end - begin for _, begin, end in tasks) * width * depth
    sums = torch.empty(threads, largest, dtype=torch.float32, device=displacement.device)
    workspaces = Memory("splat: sums", sums, torch.float32, (threads, largest))

    def work(first: int) -> None:
        for given in tasks[first::threads]:
            task(*given, workspaces.at(first))

    in_parts(work, threads, "splat")
    return [
        *(result.permute(0, 3, 1, 2).to(value.dtype) for result, value in zip(results, values, strict=True)),
        total[:, None],
    ]


def _readable(value: Tensor) -> Tensor:
    """The value in a supported type with contiguous channels and any strides of rows and columns."""
    value = value.detach()
    value = value if value.dtype == torch.bfloat16 else value.float()
    if value.shape[1] == 1 or value.stride(1) == 1:
        return value
    return value.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
