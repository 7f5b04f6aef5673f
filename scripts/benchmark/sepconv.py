"""Measure every implementation of the deformable separable convolution that can run here.

    python -m scripts.benchmark.sepconv --size 512x256 --threads 2

The input is one image and the maps of one frame, channels last as LDMVFI's decoder makes them, with offsets of a few
pixels. All implementations are timed alternately in every round and compared with the reference.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scripts.benchmark.skeleton import finish, heading, measure, medians, parser, show, size_of, start
from vsvfi.engine.device import inference
from vsvfi.ops.sepconv import reference, sepconv
from vsvfi.ops.sepconv.op import SEPCONV


def main() -> None:
    arguments = parser(__doc__, size="512x256", rounds=5)
    arguments.add_argument("--half", action="store_true", help="maps in float16")
    given = arguments.parse_args()
    device = start(given)
    width, height = size_of(given)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, height, width, generator=generator).to(device)
    maps = []
    for channels, reach in ((5, 0.3), (5, 0.3), (25, 3.0), (25, 3.0), (25, 1.0)):
        values = reach * torch.randn(1, channels, height, width, generator=generator)
        maps.append(
            values.to(device, torch.float16 if given.half else torch.float32).contiguous(
                memory_format=torch.channels_last
            )
        )
    vertical, horizontal, alpha, beta, mask = maps
    ways: dict[str, Callable[[], Tensor]] = {
        "reference": lambda: reference.sepconv(image, vertical, horizontal, alpha, beta, mask, 0, 0)
    }
    chosen = SEPCONV.choice(device.type)
    if chosen.name != "reference":
        ways[chosen.name] = lambda: sepconv(image, vertical, horizontal, alpha, beta, mask)
    heading(device, f"{chosen.name}: {chosen.reason}")
    with inference(device):
        truth = ways["reference"]()
        errors = {name: float((call() - truth).norm() / truth.norm()) for name, call in ways.items()}
        seconds = measure(ways, device, given.rounds)
    show(seconds, remark=lambda name: f", differs by {errors[name]:.1e}")
    finish(given, device, {"milliseconds": medians(seconds), "difference": errors})


if __name__ == "__main__":
    main()
