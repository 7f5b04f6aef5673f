"""Measure every implementation of the selective scan at VFIMamba's sizes.

    python -m scripts.benchmark.scan --size 448x256

For both stages of a model: milliseconds of each implementation that can run here, timed alternately in every round;
billions of state elements (paths x channels x states x positions, one exponential and two multiply-adds each) per
second; and the bytes of its inputs and results per second, where memory would be the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.benchmark.skeleton import finish, heading, measure, medians, parser, show, size_of, start
from vsvfi.engine.device import inference, resolve_precision
from vsvfi.models.registry import find
from vsvfi.models.vfimamba.ssm import DIRECTIONS, STATES, interleaved_paths
from vsvfi.ops.scan import Paths, reference
from vsvfi.ops.scan.op import SCAN
from vsvfi.options import parse_precision

type Call = Callable[[], Tensor]


@dataclass(frozen=True)
class Stage:
    """Inputs of the scan in one stage."""

    name: str
    inputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
    paths: Paths

    @classmethod
    def of(cls, name: str, width: int, height: int, channels: int, device: torch.device, dtype: torch.dtype) -> Stage:
        """Create random inputs of the magnitude of a trained network's: steps from 1e-3 to 1, as after softplus."""
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

    def kernels(self) -> dict[str, Call]:
        """Return the reference and every kernel that can run on this device."""
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
        """Least number of bytes to read and write."""
        u, delta, _, entering, leaving, *_ = self.inputs
        return sum(tensor.numel() * tensor.element_size() for tensor in (u, u, delta, entering, leaving))

    def rates(self, milliseconds: float) -> str:
        """Return the rates of a scan of this duration."""
        rate, bandwidth = self.elements / milliseconds / 1e6, self.traffic / milliseconds / 1e6
        return f", {rate:7.2f} G elements/s, {bandwidth:6.1f} GB/s"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="vfimamba_s")
    arguments.add_argument("--precision", default="fp32")
    given = arguments.parse_args()
    device = start(given)
    _, variant = find(given.model)
    dtype = resolve_precision(parse_precision(given.precision), device, half=variant.half, bfloat=variant.bfloat)
    across, down = (-(-side // 32) * 32 for side in size_of(given))
    width = int(str(variant.config["width"]))
    heading(device, given.model, f"{across}x{down}", given.precision)
    found = {}
    with inference(device):
        for stage in (3, 4):
            made = Stage.of(f"stage {stage}", across >> stage, down >> stage, 2 * width << stage, device, dtype)
            seconds = measure(made.kernels(), device, given.rounds)
            found[made.name] = medians(seconds)
            show(seconds, f"{made.name} ", lambda name, made=made: made.rates(found[made.name][name]))  # type: ignore[misc]
    finish(given, device, {"variant": variant.name, "size": [across, down], "milliseconds": found})


if __name__ == "__main__":
    main()
