"""How fast each form of the selective scan is at the sizes that VFIMamba asks for: python -m scripts.benchmark.scan
--size 448x256

For both stages of a model: milliseconds of each form that can run here, in turn in every round; billions of state
elements (paths x channels x states x positions, one exponential and two multiply-adds each) per second; and the bytes
of its inputs and results per second, where memory would be the limit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vsvfi.engine.device import describe, inference, resolve_device, resolve_precision
from vsvfi.models.registry import find
from vsvfi.models.vfimamba.ssm import DIRECTIONS, STATES, interleaved_paths
from vsvfi.ops.scan import Paths, reference
from vsvfi.ops.scan.op import SCAN
from vsvfi.options import parse_precision

type Call = Callable[[], Tensor]


@dataclass(frozen=True)
class Stage:
    """What one stage gives the scan."""

    name: str
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
    paths: Paths

    @classmethod
    def of(cls, name: str, width: int, height: int, channels: int, device: torch.device, dtype: torch.dtype) -> Stage:
        """Random inputs of the size of a trained network's: steps from 1e-3 to 1, as softplus makes them."""
        tokens, generator = 2 * width * height, torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        u, delta = random(1, tokens, channels), random(1, DIRECTIONS, tokens, channels)
        entering, leaving = random(1, DIRECTIONS, tokens, STATES), random(1, DIRECTIONS, tokens, STATES)
        rates, skip = -torch.exp(0.7 * random(DIRECTIONS, channels, STATES) + 1.8), random(DIRECTIONS, channels)
        u, delta, entering, leaving = (tensor.to(device, dtype) for tensor in (u, delta, entering, leaving))
        bias = 1.3 * random(DIRECTIONS, channels) - 4.6
        paths = interleaved_paths(height, width, device)
        return cls(name, (u, delta, rates.to(device), entering, leaving, skip.to(device), bias.to(device)), paths)

    def forms(self) -> dict[str, Call]:
        """The reference, and every kernel that can run on this device."""
        calls: dict[str, Call] = {"reference": lambda: reference.scan_paths(*self.inputs, True, *self.paths)}
        for kernel in SCAN.usable(self.inputs[0].device.type):
            calls[kernel.backend] = lambda run=kernel.run: run(*self.inputs, True, *self.paths)  # type: ignore[misc]
        return calls

    @property
    def elements(self) -> int:
        """State elements of one scan."""
        return self.inputs[1].numel() * STATES

    @property
    def traffic(self) -> int:
        """Bytes that have to be read and written at least once."""
        u, delta, _, entering, leaving, *_ = self.inputs
        return sum(tensor.numel() * tensor.element_size() for tensor in (u, u, delta, entering, leaving))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="vfimamba_s")
    parser.add_argument("--size", default="448x256")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = resolve_device(arguments.device)
    family, variant = find(arguments.model)
    dtype = resolve_precision(parse_precision(arguments.precision), device, half=variant.half, bfloat=variant.bfloat)
    across, down = (-(-int(side) // 32) * 32 for side in arguments.size.split("x"))
    width = int(str(variant.config["width"]))
    print(
        f"{arguments.model}, {across}x{down}, {describe(device)}, {arguments.precision}, {torch.get_num_threads()} "
        f"threads, torch {torch.__version__}"
    )
    found = {}
    with inference(device):
        for stage in (3, 4):
            made = Stage.of(f"stage {stage}", across >> stage, down >> stage, 2 * width << stage, device, dtype)
            found[made.name] = measure(made, device, arguments.rounds)
    print(
        json.dumps(
            {
                "model": family.name,
                "variant": variant.name,
                "size": [across, down],
                "device": describe(device),
                "milliseconds": found,
            }
        )
    )


def measure(stage: Stage, device: torch.device, rounds: int) -> dict[str, float]:
    """Median milliseconds of each form; prints them."""
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, call in stage.forms().items():
            _synchronise(device)
            started = time.perf_counter()
            call()
            _synchronise(device)
            if number:
                times.setdefault(name, []).append(time.perf_counter() - started)
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        rate, bandwidth = stage.elements / middle / 1e9, stage.traffic / middle / 1e9
        print(
            f"  {stage.name} {name:<10} {1000 * middle:9.2f} ms (least {1000 * min(seconds):.2f}), {rate:7.2f} G "
            f"elements/s, {bandwidth:6.1f} GB/s"
        )
    return {name: 1000 * statistics.median(seconds) for name, seconds in times.items()}


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
