"""Speed of the operators that have more than one way: python -m scripts.benchmark.operators --device cuda

Splatting of one image and its features by one displacement field, both directions as a batch of two, at the shapes that
UPR-Net has on its three feature levels. "atomic torch" is what most programs do (four `scatter_add_` calls);
"reference" is ours in plain torch, which keeps an order; "native" is ours for the CPU, which keeps one too; "kernel" is
ours for CUDA devices. All are compared with the reference first, then timed in turn in every round.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from scripts.benchmark.playback import measure
from vsvfi.engine.device import describe, inference, resolve_device
from vsvfi.ops.splat import reference, splat
from vsvfi.ops.splat.op import SPLAT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="448x256")
    parser.add_argument(
        "--width", type=int, default=16, help="channels of the finest features (16, 24, 32 are the published ones)"
    )
    parser.add_argument("--half", action="store_true", help="features in float16")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    width, height = (int(side) for side in arguments.size.split("x"))
    found = []
    chosen = SPLAT.choice(device.type)
    print(
        f"{describe(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}, {chosen.name}: "
        f"{chosen.reason}"
    )
    with inference(device):
        for level, channels in ((0, 3 + arguments.width), (1, 2 * arguments.width), (2, 4 * arguments.width)):
            value, displacement = case(
                channels, height >> level, width >> level, device, torch.float16 if arguments.half else torch.float32
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
            seconds = measure(ways, device, arguments.rounds)
            for name, values in seconds.items():
                error = float((ways[name]().float() - truth).norm() / truth.norm())
                median = 1000 * statistics.median(values)
                shape = [2, channels, height >> level, width >> level]
                print(
                    f"  {shape}  {name:<13} {median:8.2f} ms (least {1000 * min(values):.2f}), differs by {error:.1e}"
                )
                found.append({"shape": shape, "way": name, "milliseconds": median, "difference": error})
    print(json.dumps(found))


def case(channels: int, height: int, width: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Random values, and smooth motion of about six pixels."""
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
    """Averaging splat by four scattering additions."""
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
