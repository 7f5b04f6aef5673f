"""Splatting on the CPU: splits pictures into bands of target rows and runs the code of `native` for them on all cores.

The code runs without the GIL on threads of its own call: any number of threads may call at once, and none is left behind. Sums have one order, that of
the source pixels, whatever the number of threads. Checks no arguments. Imported only where llvmlite works (see `vsvfi.ops.backends`); the import registers
the operator `vsvfi::splat_llvmlite`.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vsvfi.ops.splat import native, trial
from vsvfi.ops.threads import in_parts

_WORTHWHILE = 1 << 19
"""Numbers in the results for which one more thread is worth its start, which takes a third of a millisecond."""

_WORKSPACE = 1 << 18
"""Numbers in the sums of one band, about: what the nearer caches of a core hold."""


def run(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None, with_total: bool = False) -> list[Tensor]:
    """A / D for each of `values`; see `vsvfi.ops.splat.reference.splat_values`, which has the same arguments. None may be empty.

    With `with_total` the summed weights D come last, [B, 1, H, W] float32.
    Results are dense and channels last in memory. Values in float32 and bfloat16 whose channels lie side by side are read where they are, others are copied
    first, and what is of another type becomes float32.
    """
    displacement = displacement.detach().float()
    batch, _, height, width = displacement.shape
    low, high = displacement[:, 1].aminmax(dim=2)
    pictures = [_readable(value) for value in values]
    layouts = tuple(native.Layout(picture.shape[1], picture.dtype == torch.bfloat16) for picture in pictures)
    function, depth = native.compiled(weight is not None, layouts), native.depth(layouts)
    results = [torch.empty(batch, height, width, picture.shape[1], dtype=picture.dtype, device="cpu") for picture in pictures]
    total = torch.empty(batch, height, width, dtype=torch.float32, device="cpu")
    weights = None if weight is None else weight.detach().float()[:, 0]

    def task(index: int, begin: int, end: int, sums: Tensor) -> None:
        fields: list[int] = []
        for picture, result in zip(pictures, results, strict=True):
            fields += (_of(picture, index), picture.stride(2), picture.stride(3), result[index].data_ptr())
        table = (ctypes.c_int64 * len(fields))(*fields)
        function(
            ctypes.addressof(table),
            *(displacement[index, axis].data_ptr() for axis in range(2)),
            *(bound[index].data_ptr() for bound in (low, high)),
            0 if weights is None else _of(weights, index),
            sums.data_ptr(),
            total[index].data_ptr(),
            *displacement.stride()[2:],
            *((0, 0) if weights is None else weights.stride()[1:]),
            height,
            width,
            begin,
            end,
        )

    threads = min(torch.get_num_threads(), 1 + batch * height * width * depth // _WORTHWHILE)
    parts = threads // math.gcd(batch, threads)  # of a picture, so that every thread has as many
    bands = min(height, parts * max(1, height * width * depth // (parts * _WORKSPACE)))
    tasks = [(index, height * band // bands, height * (band + 1) // bands) for index in range(batch) for band in range(bands)]
    longest = max(end - begin for _, begin, end in tasks)
    workspaces = torch.empty(threads, longest * width * depth, dtype=torch.float32, device="cpu")

    def work(first: int) -> None:
        for given in tasks[first::threads]:
            task(*given, workspaces[first])

    in_parts(work, threads, "splat")
    averages = [result.permute(0, 3, 1, 2).to(value.dtype) for result, value in zip(results, values, strict=True)]
    return [*averages, total[:, None]] if with_total else averages


def fault() -> str | None:
    """Why this code is not to be used here, or None."""
    return trial.fault(run)


def _readable(value: Tensor) -> Tensor:
    """The value in a type that the code knows, its channels side by side; any strides of rows and columns will do."""
    value = value.detach()
    value = value if value.dtype == torch.bfloat16 else value.float()
    if value.shape[1] == 1 or value.stride(1) == 1:
        return value
    return value.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _of(pictures: Tensor, index: int) -> int:
    """The address of a picture; one serves a whole batch."""
    return pictures[index if pictures.shape[0] > 1 else 0].data_ptr()


def _shape(values: Sequence[Tensor], displacement: Tensor, weight: Tensor | None, with_total: bool = False) -> list[Tensor]:
    """What `run` returns, without its content."""
    batch, _, height, width = displacement.shape
    averages = [value.new_empty(batch, height, width, value.shape[1]).permute(0, 3, 1, 2) for value in values]
    return [*averages, displacement.new_empty(batch, 1, height, width, dtype=torch.float32)] if with_total else averages


splat_values = torch.library.custom_op("vsvfi::splat_llvmlite", run, mutates_args=(), device_types="cpu")
splat_values.register_fake(_shape)
