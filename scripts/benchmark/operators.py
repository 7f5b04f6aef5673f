"""Measure the operators that have several implementations.

    python -m scripts.benchmark.operators --device cuda

Splatting of one image and its features by one displacement field, both directions as a batch of two, at the shapes that
UPR-Net has on its three feature levels. "atomic torch" is what most programs do (four `scatter_add_` calls);
"reference" is ours in plain torch, which keeps an order; "native" is ours for the CPU, which keeps one too; "kernel" is
ours for CUDA devices. All are compared with the reference first, then timed in turn in every round.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from scripts.benchmark.skeleton import finish, heading, measure, medians, parser, show, size_of, start
from vsvfi.engine.device import inference
from vsvfi.ops.splat import reference, splat
from vsvfi.ops.splat.op import SPLAT


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--width", type=int, default=16, help="channels of the finest features (16, 24, 32 are the published ones)"
    )
    arguments.add_argument("--half", action="store_true", help="features in float16")
    given = arguments.parse_args()
    device = start(given)
    width, height = size_of(given)
    found = []
    chosen = SPLAT.choice(device.type)
    heading(device, f"{chosen.name}: {chosen.reason}")
    with inference(device):
        for level, channels in ((0, 3 + given.width), (1, 2 * given.width), (2, 4 * given.width)):
            value, displacement = case(
                channels, height >> level, width >> level, device, torch.float16 if given.half else torch.float32
            )
            ways: dict[str, Callable[[], Tensor]] = {
                "reference": lambda value=value, displacement=displacement: reference.splat_sums(
                    [value], displacement, None
                )[0],  # type: ignore[misc]
                "atomic torch": lambda value=value, displacement=displacement: atomic(value, displacement),  # type: ignore[misc]
            }
            if chosen.name != "reference":
                name = {"cpu": "native", "cuda": "kernel"}[device.type]
                ways[name] = lambda value=value, displacement=displacement: splat(value, displacement)  # type: ignore[misc]
            truth = ways["reference"]().float()
            errors = {name: float((call().float() - truth).norm() / truth.norm()) for name, call in ways.items()}
            seconds = measure(ways, device, given.rounds)
            shape = [2, channels, height >> level, width >> level]
            show(seconds, f"{shape}  ", lambda name, errors=errors: f", differs by {errors[name]:.1e}")  # type: ignore[misc]
            found.append({"shape": shape, "milliseconds": medians(seconds), "difference": errors})
    finish(given, device, found)


def case(channels: int, height: int, width: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return random values, and smooth motion of about six pixels."""
    generator = torch.Generator().manual_seed(0)
    value = (
        torch.rand(2, channels, height, width, generator=generator)
        .to(device, dtype)
        .contiguous(memory_format=torch.channels_last)
    )
    displacement = functional.interpolate(
        6 * torch.randn(2, 2, 8, 8, generator=generator), size=(height, width), mode="bilinear"
    )
    return value, displacement.to(device)


def atomic(value: Tensor, displacement: Tensor) -> Tensor:
    """Splat and average with four scatter additions."""
    batch, channels, height, width = value.shape
    ones = torch.ones_like(value[:, :1], dtype=torch.float32)
    rows = torch.cat((value.float(), ones), 1).permute(0, 2, 3, 1).reshape(batch, height * width, channels + 1)
    x = displacement[:, 0] + torch.arange(width, dtype=torch.float32, device=value.device)
    y = displacement[:, 1] + torch.arange(height, dtype=torch.float32, device=value.device)[:, None]
    left, top = x.floor(), y.floor()
    sums = rows.new_zeros(batch, height * width + 1, channels + 1)
    for column, row, share in (
        (left, top, (left + 1 - x) * (top + 1 - y)),
        (left + 1, top, (x - left) * (top + 1 - y)),
        (left, top + 1, (left + 1 - x) * (y - top)),
        (left + 1, top + 1, (x - left) * (y - top)),
    ):
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        target = torch.where(inside, row * width + column, height * width).long().reshape(batch, -1, 1)
        sums.scatter_add_(1, target.expand(-1, -1, channels + 1), rows * share.reshape(batch, -1, 1))
    total = sums[:, :-1, -1:]
    result = sums[:, :-1, :-1] / torch.where(total == 0, 1.0, total)
    return result.reshape(batch, height, width, channels).permute(0, 3, 1, 2).to(value.dtype)


if __name__ == "__main__":
    main()
