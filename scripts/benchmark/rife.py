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
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from vsvfi.models.registry import find
from vsvfi.models.rife.blocks import Block, Folded, leaky_relu
from vsvfi.models.rife.network import Estimate, IFNet, Pair
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


def measured(
    network: IFNet,
    images: Tensor,
    times: Tensor,
    case: Simplification,
    methods: Sequence[tuple[Method, Callable[..., Any]]],
) -> tuple[float, float, Tensor]:
    """Return the seconds of a pair and of the part that a simplification changes, and its frames."""
    total = [0.0]
    with replaced(methods), contextlib.ExitStack() as stack:
        for part in case.parts:
            stack.enter_context(replaced([(part, timed(getattr(*part), total))]))
        known = network.encode_frame(images[:1])
        begin, total[0] = time.thread_time(), 0.0
        pair = network.prepare_pair(known, network.encode_frame(images[1:]))
        picture = network.synthesise(pair, times)
        return time.thread_time() - begin, total[0], picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="rife426", help="any but rife40")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--multi", type=int, default=2, help="frames between two are one less")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    variant = find(arguments.model)[1]
    network = IFNet(**variant.config).eval().to(memory_format=torch.channels_last)  # type: ignore[arg-type]
    width, height = (-(-int(side) // 64) * 64 for side in arguments.size.split("x"))
    images = torch.rand(2, 3, height, width).contiguous(memory_format=torch.channels_last)
    times = torch.linspace(0, 1, arguments.multi + 1)[1:-1]
    rounds = arguments.rounds
    print(f"{arguments.model}, {arguments.multi}x, {width}x{height} with its padding; medians of {rounds} rounds, ms")
    with torch.inference_mode():
        network.prepare_operators()
        kept: dict[tuple[str, bool], list[tuple[float, float]]] = {}
        for number in range(rounds + 1):
            for case in ALL:
                pictures = []
                for undone in (False, True):
                    whole, part, picture = measured(network, images, times, case, case.plain if undone else ())
                    pictures.append(picture)
                    if number:  # the first round compiles
                        kept.setdefault((case.name, undone), []).append((whole, part))
                torch.testing.assert_close(*pictures, rtol=1e-4, atol=1e-4)
    for case in ALL:
        (whole, part), (_, plain) = (
            (1000 * statistics.median(seconds) for seconds in zip(*kept[case.name, undone], strict=True))
            for undone in (False, True)
        )
        print(
            f"  {case.name:<44} {plain:7.1f} -> {part:6.1f}, {plain / part:5.2f} times as fast, "
            f"{100 * (plain - part) / (whole + plain - part):5.1f} % of a pair"
        )


if __name__ == "__main__":
    main()
