"""Measure the local correlation of UPR-Net against its textbook form, one shifted product per displacement.

    python -m scripts.benchmark.correlation --size 448x256 --threads 1

Features have a quarter of the frame's size, channels last. Both are compared first, then timed in turn in every round,
on a CPU by processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from scripts.benchmark.skeleton import finish, heading, measure, medians, parser, show, size_of, start
from vsvfi.engine.device import inference
from vsvfi.ops.correlation import local_correlation

RADIUS = 4


def main() -> None:
    given = parser(__doc__).parse_args()
    device = start(given)
    width, height = (side // 4 for side in size_of(given))
    generator = torch.Generator().manual_seed(0)
    heading(device, f"radius {RADIUS}", f"{width}x{height}")
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    found = {}
    for channels in (64, 128):
        shape = (2, 1, channels, height, width)
        first, second = (
            features.contiguous(memory_format=torch.channels_last)
            for features in torch.randn(shape, generator=generator).to(device)
        )
        calls = cases(first, second)
        with inference(device):
            products, shifted = (call() for call in calls.values())
            difference = float((products - shifted).norm() / shifted.norm())
            seconds = measure(calls, device, given.rounds, clock)
        show(seconds, f"{channels} channels: ", lambda name, by=difference: f", differs by {by:.1e}")  # type: ignore[misc]
        found[channels] = {"milliseconds": medians(seconds), "difference": difference}
    finish(given, device, found)


def cases(first: Tensor, second: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Name both implementations, bound to their arguments."""
    return {
        "matrix products": lambda: local_correlation(first, second, RADIUS),
        "shifted products": lambda: shifted_products(first, second),
    }


def shifted_products(first: Tensor, second: Tensor) -> Tensor:
    """Return the correlation as its definition says it, a mean over channels for every displacement."""
    height, width = first.shape[-2:]
    padded = functional.pad(second, (RADIUS,) * 4)
    side = range(2 * RADIUS + 1)
    return torch.cat(
        [(first * padded[..., y : y + height, x : x + width]).mean(1, keepdim=True) for y in side for x in side], 1
    )


if __name__ == "__main__":
    main()
