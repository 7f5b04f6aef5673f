"""Speed of the deformable separable convolution in the forms that can run here: python -m scripts.benchmark.sepconv
--size 512x256 --threads 2

One picture and the maps of one frame, channels last as LDMVFI's decoder makes them, offsets of a few pixels. All forms
are timed in turn in every round, and compared with the reference.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from scripts.benchmark.playback import measure
from vsvfi.engine.device import describe, inference, resolve_device
from vsvfi.ops.sepconv import reference, sepconv
from vsvfi.ops.sepconv.op import SEPCONV


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="512x256")
    parser.add_argument("--half", action="store_true", help="maps in float16")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    width, height = (int(side) for side in arguments.size.split("x"))
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, height, width, generator=generator).to(device)
    maps = []
    for channels, reach in ((5, 0.3), (5, 0.3), (25, 3.0), (25, 3.0), (25, 1.0)):
        values = reach * torch.randn(1, channels, height, width, generator=generator)
        maps.append(
            values.to(device, torch.float16 if arguments.half else torch.float32).contiguous(
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
    print(
        f"{describe(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}, {chosen.name}: "
        f"{chosen.reason}"
    )
    with inference(device):
        truth = ways["reference"]()
        for name, seconds in measure(ways, device, arguments.rounds).items():
            error = float((ways[name]() - truth).norm() / truth.norm())
            print(
                f"  {name:<10} {1000 * statistics.median(seconds):8.2f} ms (least {1000 * min(seconds):.2f}), differs "
                f"by {error:.1e}"
            )


if __name__ == "__main__":
    main()
