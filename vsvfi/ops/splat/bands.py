"""Splatting on the CPU: splits images into bands of target rows and runs the code of `cpu` for them on all cores.

The code runs without the GIL on threads of its own call: any number of threads may call at once, and none is left behind. Checks no arguments.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vsvfi.ops.splat import cpu
from vsvfi.ops.threads import in_parts

_WORTHWHILE = 1 << 19
"""Numbers in the results for which one more thread is worth its start, which takes a third of a millisecond."""

_WORKSPACE = 1 << 18
"""Numbers in the sums of one band, about: what the nearer caches of a core hold."""


def run(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None) -> list[Tensor]:
    """A / D for each of `values`, then D, [B, 1, H, W] float32; see `vsvfi.ops.splat.reference.splat_values`. None may be empty.

    Results are dense and channels last in memory. Values in float32 and bfloat16 whose channels lie side by side are read where they are, others are copied
    first, and what is of another type becomes float32.
    """
    displacement = displacement.detach().float()
    batch, _, height, width = displacement.shape
    low, high = displacement[:, 1].aminmax(dim=2)
    images = [_readable(value) for value in values]
    layouts = tuple(cpu.Layout(image.shape[1], image.dtype == torch.bfloat16) for image in images)
    function, depth = cpu.compiled(weight is not None, layouts), cpu.depth(layouts)
    results = [torch.empty(batch, height, width, image.shape[1], dtype=image.dtype, device=image.device) for image in images]
    total = torch.empty(batch, height, width, dtype=torch.float32, device=displacement.device)
    weights = None if weight is None else weight.detach().float()[:, 0]

    def task(index: int, begin: int, end: int, sums: Tensor) -> None:
        fields: list[int] = []
        for image, result in zip(images, results, strict=True):
            fields += (_of(image, index), image.stride(2), image.stride(3), result[index].data_ptr())
        table = (ctypes.c_int64 * len(fields))(*fields)
        function(
            ctypes.addressof(table),
            *(number for axis in range(2) for number in (displacement[index, axis].data_ptr(), *displacement.stride()[2:])),
            *(bound[index].data_ptr() for bound in (low, high)),
            *((0, 0, 0) if weights is None else (_of(weights, index), *weights.stride()[1:])),
            sums.data_ptr(),
            total[index].data_ptr(),
            height,
            width,
            begin,
            end,
        )

    threads = min(torch.get_num_threads(), 1 + batch * height * width * depth // _WORTHWHILE)
    parts = threads // math.gcd(batch, threads)  # of an image, so that every thread has as many
    bands = min(height, parts * max(1, height * width * depth // (parts * _WORKSPACE)))
    tasks = [(index, height * band // bands, height * (band + 1) // bands) for index in range(batch) for band in range(bands)]
    largest = max(end - begin for _, begin, end in tasks) * width * depth
    workspaces = torch.empty(threads, largest, dtype=torch.float32, device=displacement.device)

    def work(first: int) -> None:
        for given in tasks[first::threads]:
            task(*given, workspaces[first])

    in_parts(work, threads, "splat")
    return [
        *(result.permute(0, 3, 1, 2).to(value.dtype) for result, value in zip(results, values, strict=True)),
        total[:, None],
    ]


def _readable(value: Tensor) -> Tensor:
    """The value in a type that the code knows, its channels side by side; any strides of rows and columns will do."""
    value = value.detach()
    value = value if value.dtype == torch.bfloat16 else value.float()
    if value.shape[1] == 1 or value.stride(1) == 1:
        return value
    return value.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _of(images: Tensor, index: int) -> int:
    """The address of an image; one serves a whole batch."""
    return images[index if images.shape[0] > 1 else 0].data_ptr()
