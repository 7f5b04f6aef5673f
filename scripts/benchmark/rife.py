"""Measure what each exact simplification of RIFE saves.

    python -m scripts.benchmark.rife --model rife426 --size 640x360

Processor time of one thread for a pair: features of one frame, the pair, its times as one batch. In every round the
network runs as shipped and once with each simplification undone, in turn; the part that a simplification changes is
timed alone too, since the whole varies by more than some of them save. All must give the same image.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from scripts.benchmark.skeleton import Times, finish, heading, measure, medians, parser, size_of, start
from vsvfi.engine.device import inference
from vsvfi.models.registry import find
from vsvfi.models.rife.blocks import Block, Folded, leaky_relu
from vsvfi.models.rife.estimates import Estimate
from vsvfi.models.rife.network import IFNet, Pair
from vsvfi.ops import refinement
from vsvfi.ops.warp import resize_bilinear

type Method = tuple[type, str]


@dataclass(frozen=True)
class Simplification:
    """One simplification: the methods whose time it changes, and their replacements that undo it."""

    name: str
    parts: tuple[Method, ...]
    plain: tuple[tuple[Method, Callable[..., Any]], ...]


def refined(block: Block, x: Tensor, folded: Folded) -> Tensor:
    """Apply factor and skip as in the definition."""
    for layer in block.convblock:
        x = leaky_relu(layer.beta * layer.conv(x) + x)  # type: ignore[operator]
    return x


_folded = Block.folded


def all_outputs(block: Block) -> Folded:
    """Compute every output of the last convolution; `first_outputs` removes those that are not read."""
    last = block.get_submodule("lastconv.0")
    weight = last.weight.detach()  # type: ignore[operator]
    return replace(_folded(block), last=(weight.contiguous(memory_format=torch.channels_last), last.bias))  # type: ignore[arg-type]


_forward = Block.forward


def first_outputs(block: Block, x: Tensor) -> Tensor:
    return _forward(block, x)[:, : block.used]


def through_full_size(network: IFNet, pair: Pair, times: Tensor, found: Estimate, step: Fraction) -> Tensor:
    """Enlarge masks and features to the size of the image, then reduce them."""
    full = [resize_bilinear(values, made) for values, made in found.states]
    state = resize_bilinear(functools.reduce(torch.add, full), 1 / step)
    return refinement.warp_pair(pair.first, pair.second, found.flow, state, times, int(step), 1)


_input = IFNet._input


def all_warped(network: IFNet, pair: Pair, times: Tensor, found: Estimate, step: Fraction) -> Tensor:
    """Warp every pixel, then reduce."""
    if step == 1:
        return _input(network, pair, times, found, step)
    count = 2 * network.packed
    joined = refinement.warp_pair(pair.first, pair.second, found.flow, found.flow[:, :1], times, 1, 1)
    warped, flow = (resize_bilinear(values, 1 / step) for values in (joined[:, :count], found.flow))
    state = functools.reduce(torch.add, (resize_bilinear(values, made / step) for values, made in found.states))
    plane = times.reshape(-1, 1, 1, 1).expand(-1, 1, *state.shape[2:])
    return torch.cat((warped, plane, state, flow / float(step)), 1)


WHOLE, INPUT = (Block, "forward"), (IFNet, "_input")
ALL = (
    Simplification("factor and skip in the convolutions", ((Block, "_refined"),), (((Block, "_refined"), refined),)),
    Simplification("unused outputs dropped", (WHOLE,), (((Block, "folded"), all_outputs), (WHOLE, first_outputs))),
    Simplification("mask and feature straight to the next size", (INPUT,), ((INPUT, through_full_size),)),
    Simplification("only pixels warped that are read", (INPUT,), ((INPUT, all_warped),)),
)


@contextlib.contextmanager
def replaced(methods: Sequence[tuple[Method, Callable[..., Any]]]) -> Iterator[None]:
    """Replace these methods while active."""
    before = [(owner, name, getattr(owner, name)) for (owner, name), _ in methods]
    for (owner, name), function in methods:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, function in reversed(before):
            setattr(owner, name, function)


def timed(function: Callable[..., Any], total: list[float]) -> Callable[..., Any]:
    """Wrap a function so that its time is added to the total."""

    def call(*arguments: Any) -> Any:
        begin = time.thread_time()
        result = function(*arguments)
        total[0] += time.thread_time() - begin
        return result

    return call


def ran_with(
    case: Simplification,
    methods: Sequence[tuple[Method, Callable[..., Any]]],
    run: Callable[[], Tensor],
    seconds: list[float],
) -> Callable[[], Tensor]:
    """Return a call of `run` with replaced methods, which records the time of the part that `case` changes."""

    def call() -> Tensor:
        total = [0.0]
        with replaced(methods), contextlib.ExitStack() as stack:
            for part in case.parts:
                stack.enter_context(replaced([(part, timed(getattr(*part), total))]))
            frames = run()
        seconds.append(total[0])
        return frames

    return call


def main() -> None:
    arguments = parser(__doc__, size="640x360")
    arguments.add_argument("--model", default="rife426", help="any but rife40")
    arguments.add_argument("--multi", type=int, default=2, help="frames between two are one less")
    arguments.set_defaults(threads=1)  # the clock is that of one thread
    given = arguments.parse_args()
    device = start(given)
    torch.manual_seed(0)
    network = IFNet(**find(given.model)[1].config).eval().to(memory_format=torch.channels_last)  # type: ignore[arg-type]
    width, height = (-(-side // 64) * 64 for side in size_of(given))
    images = torch.rand(2, 3, height, width).contiguous(memory_format=torch.channels_last)
    times = torch.linspace(0, 1, given.multi + 1)[1:-1]
    with inference(device):
        network.prepare_operators()
        known = network.encode_frame(images[:1])

        def run() -> Tensor:
            return network.synthesise(network.prepare_pair(known, network.encode_frame(images[1:])), times)

        parts: Times = {}
        calls: dict[str, Callable[[], Tensor]] = {}
        for case in ALL:
            for name, methods in ((case.name, ()), (f"without: {case.name}", case.plain)):
                calls[name] = ran_with(case, methods, run, parts.setdefault(name, []))
        for case in ALL:
            torch.testing.assert_close(calls[case.name](), calls[f"without: {case.name}"](), rtol=1e-4, atol=1e-4)
        whole = medians(measure(calls, device, given.rounds, clock=time.thread_time))
    part = medians({name: seconds[2:] for name, seconds in parts.items()})  # after the check and the warm-up
    report(given, device, whole, part)


def report(given: argparse.Namespace, device: torch.device, whole: dict[str, float], part: dict[str, float]) -> None:
    """A table of what each simplification saves of its part and of a pair, and one line of JSON."""
    heading(device, given.model, f"{given.multi}x", given.size, "processor time")
    saved = {}
    for case in ALL:
        shipped, plain = part[case.name], part[f"without: {case.name}"]
        saved[case.name] = (plain - shipped) / (whole[case.name] + plain - shipped)
        print(
            f"  {case.name:<44} {plain:7.1f} -> {shipped:6.1f} ms, {plain / shipped:5.2f} times as fast, "
            f"{100 * saved[case.name]:5.1f} % of a pair"
        )
    finish(given, device, {"model": given.model, "size": given.size, "milliseconds": part, "saved": saved})


if __name__ == "__main__":
    main()
