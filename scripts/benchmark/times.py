"""Measure whether the timesteps of one pair are faster as one batch than one by one.

    python -m scripts.benchmark.times --size 256x192 --threads 1 builtin ifrnet_s rife426

Processor time on a CPU; both ways take turns in every round. The largest difference of the results says whether they
have the same bits.
"""

from __future__ import annotations

import time

import torch

from scripts.benchmark.skeleton import finish, heading, measure, parser, size_of, start
from scripts.gpu.alternatives import at_once, one_by_one
from scripts.gpu.models import build, moving_images
from vsvfi.engine.device import inference, resolve_precision
from vsvfi.engine.placement import Placement, RuntimeChoice


def main() -> None:
    arguments = parser(__doc__, size="256x192", rounds=5)
    arguments.add_argument("models", nargs="+", metavar="MODEL", help="which support any timestep")
    arguments.add_argument("--multi", type=int, default=4, help="timesteps are one less (default: 4)")
    arguments.add_argument("--precision", default="fp32")
    arguments.add_argument("--runtime", default="eager")
    given = arguments.parse_args()
    device = start(given)
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    times = torch.arange(1, given.multi, dtype=torch.float32, device=device) / given.multi
    heading(device, given.size, f"{given.multi}x", given.precision, given.runtime)
    found = {}
    for model in given.models:
        dtype = resolve_precision(given.precision, device, half=True, bfloat=True)
        network, padding = build(model, Placement(device, dtype, RuntimeChoice.of(given.runtime)), size_of(given))
        with inference(device):
            first, second = moving_images(size_of(given), 2, padding, device)
            pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
            calls = {"one by one": one_by_one(network, pair, times), "batch": at_once(network, pair, times)}
            one, other = (torch.cat(call()) for call in calls.values())
            difference = float((one - other).abs().max())
            least = {name: min(seconds) for name, seconds in measure(calls, device, given.rounds, clock).items()}
        found[model] = {"ratio": round(least["batch"] / least["one by one"], 3), "difference": difference}
        print(f"  {model:<16} batch / one by one {found[model]['ratio']:.2f}, largest difference {difference:.1e}")
    finish(given, device, found)


if __name__ == "__main__":
    main()
