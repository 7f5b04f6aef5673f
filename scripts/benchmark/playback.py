"""Measure what the caches save in playback, and the share of each operator.

    python -m scripts.benchmark.playback --model uprnet_base --size 448x256

Sequential playback encodes every source frame once, prepares every pair once and synthesises every timestep; without
caches all three run for every output frame. Both are timed alternately in every round. On a CPU the time of each phase
is also divided among torch's convolutions, linear layers, concatenations and resizing and the operators of `vsvfi.ops`,
as shares of the phase measured by the clock around their calls.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.benchmark.skeleton import Times, finish, heading, measure, medians, parser, show, size_of, start
from vsvfi import options
from vsvfi.cli.bench import write_random_weights
from vsvfi.engine.build import LoadedModel, load_weights
from vsvfi.engine.device import inference
from vsvfi.engine.run_config import ClipFacts, resolve

PHASES = ("encode_frame", "prepare_pair", "synthesise")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="uprnet_base")
    arguments.add_argument(
        "--weights", type=Path, help="a checkpoint; without it seeded random weights, which cost the same time"
    )
    arguments.add_argument("--scale", type=float)
    arguments.add_argument("--multi", type=int, nargs="+", default=[2, 8])
    arguments.add_argument("--precision", default="fp32")
    given = arguments.parse_args()
    start(given)
    width, height = size_of(given)
    with tempfile.TemporaryDirectory() as folder:
        weights = given.weights
        if weights is None:
            weights = Path(folder) / "random.safetensors"
            write_random_weights(given.model, weights)
        parsed = options.parse(
            model=given.model,
            weights=weights,
            scale=given.scale,
            device=given.device,
            precision=given.precision,
        )
        config = resolve(parsed, ClipFacts(width=width, height=height))
        loaded = load_weights(config.model, parsed.weights)
    placement, padding = config.placements[0], config.padding
    device, network = placement.device, loaded.network(config.build, placement)
    images = moving_pair(width, height)
    first, second = (padding.pad(image.to(device)).contiguous(memory_format=torch.channels_last) for image in images)
    times = torch.full((1,), 0.5, device=device)
    with inference(device):
        frames = [network.encode_frame(image) for image in (first, second)]
        pair = network.prepare_pair(*frames)
        calls: dict[str, Callable[[], object]] = {
            "encode_frame": lambda: network.encode_frame(first),
            "prepare_pair": lambda: network.prepare_pair(*frames),
            "synthesise": lambda: network.synthesise(pair, times),
            "afresh": lambda: network(first, second, times),
        }
        seconds = measure(calls, device, given.rounds)
        shares = {name: where_it_goes(calls[name], network, loaded) for name in PHASES} if device.type == "cpu" else {}
    report(given, device, seconds, shares)


def moving_pair(width: int, height: int) -> tuple[Tensor, Tensor]:
    """Two images a few pixels apart: smooth texture, so that flows are neither zero nor noise."""
    noise = torch.rand((1, 3, height // 16 + 3, width // 16 + 3), generator=torch.Generator().manual_seed(0))
    large = functional.interpolate(noise, scale_factor=16, mode="bicubic", align_corners=False).clamp(0, 1)
    return large[..., :height, :width], large[..., 3 : height + 3, 5 : width + 5]


def where_it_goes(
    call: Callable[[], object], network: nn.Module, loaded: LoadedModel, rounds: int = 5
) -> dict[str, float]:
    """Return the share of a phase's time in each kind of operation; "the rest" is outside all of them."""
    spent: dict[str, float] = defaultdict(float)
    with watched(network, loaded, spent):
        call()
        spent.clear()
        started = time.perf_counter()
        for _ in range(rounds):
            call()
        whole = time.perf_counter() - started
    shares = {name: seconds / whole for name, seconds in sorted(spent.items(), key=lambda item: -item[1])}
    return {**shares, "the rest": 1 - sum(shares.values())}


@contextlib.contextmanager
def watched(network: nn.Module, loaded: LoadedModel, spent: dict[str, float]) -> Iterator[None]:
    """Record the time spent in torch's layers and the operators of `vsvfi.ops` while active.

    Covers convolutions, linear layers, concatenations, resizing and the operators that the family imports.
    """
    depth = 0

    def wrap(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            nonlocal depth
            depth += 1
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                depth -= 1
                if not depth:  # calls inside an operator count as the operator's
                    spent[name] += time.perf_counter() - started

        return timed

    with contextlib.ExitStack() as stack:

        def replace(owner: ModuleType, attribute: str, name: str) -> None:
            before = getattr(owner, attribute)
            setattr(owner, attribute, wrap(name, before))
            stack.callback(setattr, owner, attribute, before)

        replace(torch, "cat", "concatenation")
        replace(functional, "interpolate", "resizing")
        family = importlib.import_module(f"vsvfi.models.{loaded.family.name}").__name__
        for module in [module for name, module in sys.modules.items() if name.startswith(f"{family}.")]:
            for attribute, value in list(vars(module).items()):
                if callable(value) and str(getattr(value, "__module__", "")).startswith("vsvfi.ops."):
                    replace(module, attribute, attribute)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                layer.forward = wrap("linear layers" if isinstance(layer, nn.Linear) else "convolutions", layer.forward)  # type: ignore[method-assign]
                stack.callback(delattr, layer, "forward")
        yield


def report(
    given: argparse.Namespace, device: torch.device, seconds: Times, shares: dict[str, dict[str, float]]
) -> None:
    """A table, what the caches save, and one line of JSON."""
    median = medians(seconds)
    heading(device, given.model, given.size, given.precision)
    show(seconds)
    saved = {}
    for multi in given.multi:
        cached = (median["encode_frame"] + median["prepare_pair"] + (multi - 1) * median["synthesise"]) / (multi - 1)
        saved[multi] = 1 - cached / median["afresh"]
        print(
            f"  {multi}x: {cached:.1f} ms for each new frame in playback, {median['afresh']:.1f} ms afresh: "
            f"{100 * saved[multi]:.1f} % saved"
        )
    for phase, parts in shares.items():
        print(f"  {phase}: " + ", ".join(f"{name} {100 * share:.1f} %" for name, share in parts.items()))
    finish(
        given,
        device,
        {"model": given.model, "size": given.size, "milliseconds": median, "saved": saved, "shares": shares},
    )


if __name__ == "__main__":
    main()
