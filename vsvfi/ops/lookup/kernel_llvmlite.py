"""Look-up on the CPU: runs the code of `native` over ranges of source pixels on all cores.

The code runs without the GIL on threads of its own call: any number of threads may call at once, and none is left behind. Every number is computed in one
way whatever the number of threads. Checks no arguments. Imported only where llvmlite works (see `vsvfi.ops.backends`); the import registers the operators
`vsvfi::lookup_volume_llvmlite` and `vsvfi::lookup_on_demand_llvmlite`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.ops.lookup import native, reference, trial
from vsvfi.ops.threads import in_parts

_WORTHWHILE = {False: 1 << 18, True: 1 << 12}
"""Numbers in a result for which one more thread is worth its start, which takes a third of a millisecond: from volumes, and on demand."""

type _Task = Callable[[int, int], None]
"""Fills the windows of a range of source pixels."""


def from_volume(levels: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """As `vsvfi.ops.lookup.reference.from_volume`; what is not float32 is copied."""
    return _run([level.float().contiguous() for level in levels], None, centres, radius).to(levels[0].dtype)


def on_demand(source: Tensor, targets: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """As `vsvfi.ops.lookup.reference.on_demand`; what is not float32 is copied."""
    return _run([_rows(target) for target in targets], _rows(source), centres, radius).to(source.dtype)


def _run(levels: Sequence[Tensor], source: Tensor | None, centres: Tensor, radius: int) -> Tensor:
    """Windows of all levels: volumes [B, N, h, w], or, with a source [B, H, W, C], features [B, h, w, C]."""
    batch, _, rows, columns = centres.shape
    function = native.compiled(radius, source is not None)
    window, count = (2 * radius + 1) ** 2, rows * columns
    result = torch.empty(batch, rows, columns, len(levels) * window, dtype=torch.float32, device="cpu")
    tasks: list[_Task] = []
    for number, level in enumerate(levels):
        height, width = level.shape[2:] if source is None else level.shape[1:3]
        if height == 1 or width == 1:
            result[..., number * window : (number + 1) * window] = 0
            continue
        places = reference.corners(centres.flatten(2), number, height, width, radius)
        for index in range(batch):
            tasks.append(_task(function, level, source, places, result, index, number * window, (height, width)))
    threads = min(torch.get_num_threads(), 1 + result.numel() // _WORTHWHILE[source is not None])
    bounds = [count * part // threads for part in range(threads + 1)]

    def work(part: int) -> None:
        if bounds[part] < bounds[part + 1]:
            for task in tasks:
                task(bounds[part], bounds[part + 1])

    in_parts(work, threads, "lookup")
    return result.permute(0, 3, 1, 2)


def _task(
    function: Callable[..., None],
    level: Tensor,
    source: Tensor | None,
    places: reference.Corners,
    result: Tensor,
    index: int,
    offset: int,
    size: tuple[int, int],
) -> _Task:
    """One level of one picture."""

    def run(begin: int, end: int) -> None:
        """Holds the tensors whose addresses the code is given."""
        own, depth = (0, 0) if source is None else (_of(source, index), source.shape[3])
        chosen = [_of(place, index) for place in (places.columns, places.rows, places.right, places.below)]
        function(_of(level, index), own, *chosen, result[index, 0, 0, offset:].data_ptr(), depth, *size, result.shape[3], begin, end)

    return run


def _rows(features: Tensor) -> Tensor:
    """Features with their channels side by side, [B, h, w, C], C filled up with zeros to whole rounds of the code."""
    turned = features.float().permute(0, 2, 3, 1)
    missing = -features.shape[1] % (native.LANES * native.UNROLLED)
    return functional.pad(turned, (0, missing)).contiguous() if missing else turned.contiguous()


def _of(pictures: Tensor, index: int) -> int:
    """The address of a picture; one serves a whole batch."""
    return pictures[index if pictures.shape[0] > 1 else 0].data_ptr()


def fault() -> str | None:
    """Why this code is not to be used here, or None."""
    return trial.fault(from_volume, on_demand)


def _volume_shape(levels: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """What `from_volume` returns, without its content."""
    return _shape(levels[0], len(levels), centres, radius)


def _on_demand_shape(source: Tensor, targets: Sequence[Tensor], centres: Tensor, radius: int) -> Tensor:
    """What `on_demand` returns, without its content."""
    return _shape(source, len(targets), centres, radius)


def _shape(like: Tensor, levels: int, centres: Tensor, radius: int) -> Tensor:
    batch, _, height, width = centres.shape
    return like.new_empty(batch, height, width, levels * (2 * radius + 1) ** 2).permute(0, 3, 1, 2)


lookup_volume = torch.library.custom_op("vsvfi::lookup_volume_llvmlite", from_volume, mutates_args=(), device_types="cpu")
lookup_volume.register_fake(_volume_shape)
lookup_on_demand = torch.library.custom_op("vsvfi::lookup_on_demand_llvmlite", on_demand, mutates_args=(), device_types="cpu")
lookup_on_demand.register_fake(_on_demand_shape)
