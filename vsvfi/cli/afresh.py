"""Time single pairs as publications do: every call starts from scratch, without caches."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from vsvfi.cli.multiply_adds import multiply_adds, parameters
from vsvfi.engine.device import inference
from vsvfi.engine.padding import Padding
from vsvfi.engine.runtimes.binding import unbound


def measure_afresh(
    network: Any, device: torch.device, padding: Padding, size: tuple[int, int], warm_up: int, calls: int
) -> dict[str, Any]:
    """Time whole calls on noise that is already on the device: batch 1, t = 1/2.

    The mean is over one block of calls, with one synchronisation before and one after it; the median over the calls.

    Args:
        network: an `Interpolator`.
        device: where it is.
        padding: to a size that it accepts; computing the padded area is included.
        size: width and height.
        warm_up: calls before.
        calls: that are timed.

    Returns:
        "mean_ms", "median_ms", "parameters", "multiply_adds" by kind, and the settings.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, size[1], size[0])
    noise = [torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu") for _ in range(2)]
    images = [padding.pad(image.to(device)).contiguous(memory_format=torch.channels_last) for image in noise]
    t = torch.full((1,), 0.5, dtype=torch.float32, device=device)

    def call() -> object:
        return network(*images, t)

    with inference(device):
        counts = multiply_adds(lambda: unbound(network)(*images, t))
        for _ in range(warm_up):
            call()
        stamps = _Stamps(device)
        _wait(device)
        started = time.perf_counter()
        stamps.add()
        for _ in range(calls):
            call()
            stamps.add()
        _wait(device)
        seconds = time.perf_counter() - started
    return {
        "warm_up": warm_up,
        "calls": calls,
        "padded_size": [images[0].shape[3], images[0].shape[2]],
        "mean_ms": round(1000 * seconds / calls, 4),
        "median_ms": round(statistics.median(stamps.milliseconds()), 4),
        "parameters": parameters(network),
        "multiply_adds": {**counts, "total": sum(counts.values())},
    }


class _Stamps:
    """Timestamps between calls, from device events if available, which need no synchronisation."""

    def __init__(self, device: torch.device) -> None:
        self._events: list[Any] | None = [] if device.type == "cuda" else None
        self._times: list[float] = []

    def add(self) -> None:
        """Record the current time."""
        if self._events is None:
            self._times.append(time.perf_counter())
            return
        make: Any = torch.cuda.Event
        self._events.append(make(enable_timing=True))
        self._events[-1].record()

    def milliseconds(self) -> list[float]:
        """Return the durations between consecutive timestamps."""
        if self._events is None:
            return [1000 * (after - before) for before, after in zip(self._times, self._times[1:])]
        return [float(before.elapsed_time(after)) for before, after in zip(self._events, self._events[1:])]


def _wait(device: torch.device) -> None:
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).synchronize()
