"""Measure every implementation of the correlation lookup.

    python -m scripts.benchmark.lookup --size 448x256 --threads 2

Both directions as a batch of two, 256 channels at an eighth of the size, four levels, radius 4, as in RAFT. In turn in
every round: making the volumes, looking up in them and computing on demand, through the backend that is chosen here and
through the reference. Half precision with --half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from scripts.benchmark.skeleton import finish, heading, measure, medians, parser, show, size_of, start
from vsvfi.engine.device import inference
from vsvfi.models.flow.recurrence import pixel_grid
from vsvfi.ops.lookup import OnDemand, Volume, correlate, lookup, reference
from vsvfi.ops.lookup.op import LOOKUP

LEVELS, RADIUS, EVERYTHING = 4, 4, 1 << 50


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("--half", action="store_true", help="features in float16")
    given = arguments.parse_args()
    device = start(given)
    width, height = (side // 8 for side in size_of(given))
    chosen = LOOKUP.choice(device.type)
    heading(device, f"{chosen.name}: {chosen.reason}")
    with inference(device):
        ways = kernels(width, height, device, torch.float16 if given.half else torch.float32)
        seconds = measure(ways, device, given.rounds)
    show(seconds)
    finish(given, device, {"size": [8 * width, 8 * height], "backend": chosen.name, "milliseconds": medians(seconds)})


def kernels(width: int, height: int, device: torch.device, dtype: torch.dtype) -> dict[str, Callable[[], Tensor]]:
    """Return every implementation, on random features and centres a few pixels from their sources."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randn(2, 2, 256, height, width, generator=generator).to(device, dtype)
    centres = pixel_grid(height, width, device) + 4 * torch.randn(2, 2, height, width, generator=generator).to(device)

    def compare(budget: int) -> Volume | OnDemand:
        return correlate(source, target, levels=LEVELS, factor=1 / 16, budget=budget)

    volume, features = cast(Volume, compare(EVERYTHING)), cast(OnDemand, compare(0))
    return {
        "making volumes": lambda: cast(Volume, compare(EVERYTHING)).levels[0],
        "in volumes": lambda: lookup(volume, centres, RADIUS),
        "in volumes, reference": lambda: reference.from_volume(volume.levels, centres, RADIUS),
        "on demand": lambda: lookup(features, centres, RADIUS),
        "on demand, reference": lambda: reference.on_demand(features.source, features.targets, centres, RADIUS),
    }


if __name__ == "__main__":
    main()
