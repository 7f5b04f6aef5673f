"""`vsvfi bench`: speed of a model on this machine, per phase and in `interpolate()`.

Also reports how much of the time is spent outside the network.

The network is timed twice: alone, with tensors that are already on the device; and inside a running `interpolate()`,
where the time outside its three phases is overhead: reading frames, colour conversion, copies, VapourSynth. `--afresh`
adds what publications time. Comparisons with other programs are in `scripts/benchmark`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsvfi import options
from vsvfi.cli.bench_report import report
from vsvfi.cli.checks import check_at_least, parse_size
from vsvfi.cli.render_options import add_tile
from vsvfi.engine.observer import PHASES
from vsvfi.errors import ArgumentError

if TYPE_CHECKING:
    import torch
    import vapoursynth as vs

    from vsvfi.engine.padding import Padding

HELP = "measure speed on this machine"

_BUSY = 0.5
"""Share of the cores that other programs may use before the figures are unreliable."""
_REPEATS = 3
"""How often a round runs each phase."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one line of JSON on stdout and nothing else there")
    parser.add_argument("--model", default="builtin", help="a name from 'vsvfi models' (default: builtin)")
    parser.add_argument("--weights", help="a checkpoint file instead of the published one")
    parser.add_argument(
        "--random-weights",
        action="store_true",
        help="seeded random weights: the speed is the same, nothing is downloaded",
    )
    parser.add_argument("--size", default="640x360", help="WIDTHxHEIGHT (default: 640x360)")
    parser.add_argument("--multi", type=int, default=2, help="frames per source frame (default: 2)")
    parser.add_argument("--scale", type=float, help="resolution of the motion estimation")
    add_tile(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 ... (default: auto)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, fp16, bf16 (default: auto)")
    parser.add_argument("--runtime", default="auto", help="auto, eager, graph, compile, onnx ... (default: auto)")
    parser.add_argument("--streams", type=int, help="frames computed at the same time")
    parser.add_argument(
        "--afresh",
        action="store_true",
        help="also time one pair without caches, as publications do, and count parameters and multiply-adds",
    )
    parser.add_argument("--warm-up", type=int, default=10, help="with --afresh, calls before (default: 10)")
    parser.add_argument("--calls", type=int, default=20, help="with --afresh, timed calls (default: 20)")
    parser.add_argument("--threads", type=int, help="threads of torch and of VapourSynth")
    parser.add_argument("--pairs", type=int, default=8, help="frame pairs per round (default: 8)")
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="rounds, each measures everything once (default: 3; 9 for figures to publish)",
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Timings of one pass through `interpolate()`, in seconds.

    Attributes:
        first: until the first interpolated frame.
        wall: for the remaining frames.
        inside: the part of `wall` spent in the network.
    """

    first: float
    wall: float
    inside: float


def main(arguments: argparse.Namespace) -> int:
    checked = options.parse(
        model=arguments.model,
        multi=arguments.multi,
        scale=arguments.scale,
        weights=arguments.weights,
        device=arguments.device,
        precision=arguments.precision,
        streams=arguments.streams,
        runtime=arguments.runtime,
        tile=arguments.tile,
    )
    size = parse_size(arguments.size, least=16, even=True)
    check_at_least(arguments, 1, "pairs", "rounds", "calls")
    check_at_least(arguments, 0, "warm_up")
    if arguments.multi < 2:
        raise ArgumentError(
            "multi",
            arguments.multi,
            "must be 2 or more, or there is nothing to compute",
            "leave it out for the default",
        )
    _warn_if_busy()
    with contextlib.ExitStack() as stack:
        weights = checked.weights
        if arguments.random_weights:
            weights = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vsvfi-bench-"))) / "random.safetensors"
            )
            write_random_weights(checked.model, weights)
        result = measure(arguments, dataclasses.replace(checked, weights=weights), size)
    if arguments.json:
        print(json.dumps(result))
    else:
        for line in report(result):
            print(line)
    return 0


def _warn_if_busy() -> None:
    """Warn on stderr if other programs use the CPU, which makes the measurements unreliable."""
    try:
        load, cores = (
            os.getloadavg()[0],
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        )
    except (OSError, AttributeError):  # Windows keeps no load average
        return
    if load > _BUSY * cores and sys.stderr is not None:
        print(
            f"vsvfi: this machine is busy (load average {load:.1f} on {cores} cores); the figures will be too low, "
            "measure again when it is idle",
            file=sys.stderr,
            flush=True,
        )


def write_random_weights(model: str, path: Path, seed: int = 0) -> None:
    """Write a checkpoint of the model's shapes with seeded random values, for timing only."""
    import torch
    from safetensors.torch import save_file

    from vsvfi.engine.model_config import ModelConfig

    config = ModelConfig.of(options.Options(model=model))
    build = config.build_config(256, 256)
    module, _, attribute = config.family.network.partition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = getattr(importlib.import_module(module), attribute)(
            **config.variant.config, scale=build.scale, **build.arguments
        )
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


def measure(arguments: argparse.Namespace, checked: options.Options, size: tuple[int, int]) -> dict[str, Any]:
    """Measure everything in interleaved rounds."""
    import torch
    import vapoursynth as vs

    from vsvfi.cli.bench_clip import moving_clip
    from vsvfi.engine.build import load_weights
    from vsvfi.engine.device import describe
    from vsvfi.engine.run_config import ClipFacts, resolve

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
        vs.core.num_threads = arguments.threads
    facts = ClipFacts(width=size[0], height=size[1], factor=checked.multi)
    config = resolve(checked, facts)
    model = load_weights(config.model, checked.weights)
    placement = config.placements[0]
    network = model.network(config.build, placement)
    calls = phases(network, placement.device, config.padding, size)
    afresh = None
    if arguments.afresh:
        from vsvfi.cli.afresh import measure_afresh

        afresh = measure_afresh(network, placement.device, config.padding, size, arguments.warm_up, arguments.calls)
    clip = moving_clip(*size, arguments.pairs + 3)
    times: dict[str, list[float]] = {name: [] for name in PHASES}
    runs: list[Run] = []
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    for _ in range(arguments.rounds):
        for name, call in calls.items():
            times[name].extend(call() for _ in range(_REPEATS))
        runs.append(_run_clip(clip, arguments, checked, placement.device))
    # Models limited to t = 1/2 reach other timesteps by bisection, which needs further pairs: their phases do not
    # simply add up to a pair.
    simple = arguments.multi == 2 or not config.bisects
    alone = [
        encode + prepare + (arguments.multi - 1) * synthesise
        for encode, prepare, synthesise in zip(*times.values(), strict=True)
    ]
    shares = [1 - run.inside / run.wall for run in runs]
    device = placement.device
    return {
        "model": checked.model,
        "weights": "random" if arguments.random_weights else str(checked.weights or "published"),
        "size": list(size),
        "multi": arguments.multi,
        "device": describe(device),
        "precision": str(placement.dtype).removeprefix("torch."),
        "tile": config.model.tile,
        "runtime": str(placement.runtime),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "vapoursynth": str(vs.core.core_version),
        "load_average_before": load,
        **({"afresh": afresh} if afresh else {}),
        "phases_ms": {name: _summary([1000 * second for second in seconds]) for name, seconds in times.items()},
        "network_pairs_per_second": _summary([1 / seconds for seconds in alone]) if simple else None,
        "interpolate_pairs_per_second": _summary([arguments.pairs / run.wall for run in runs]),
        "interpolate_output_fps": _summary([arguments.pairs * arguments.multi / run.wall for run in runs]),
        "seconds_to_first_frame": _summary([run.first for run in runs]),
        "share_outside_network": _summary(shares),
        "peak_device_memory_mib": torch.cuda.max_memory_allocated(device) >> 20 if device.type == "cuda" else None,
    }


def phases(
    network: Any, device: torch.device, padding: Padding, size: tuple[int, int]
) -> dict[str, Callable[[], float]]:
    """Return for each phase a function that runs it once on device tensors and returns seconds.

    Each has been warmed up.
    """
    import torch

    from vsvfi.engine.device import inference, wait_for

    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, size[1], size[0])
    drawn = [torch.rand(shape, generator=generator, dtype=torch.float32, device="cpu") for _ in range(2)]
    images = [padding.pad(image.to(device)) for image in drawn]
    images = [image.contiguous(memory_format=torch.channels_last) for image in images]
    t = torch.full((1,), 0.5, dtype=torch.float32, device=device)
    with inference(device):
        frames = [network.encode_frame(image) for image in images]
        pair = network.prepare_pair(*frames)
        network.synthesise(pair, t)

    def timed(call: Callable[[], object]) -> Callable[[], float]:
        def measure() -> float:
            with inference(device):
                wait_for(device)
                started = time.perf_counter()
                call()
                wait_for(device)
                return time.perf_counter() - started

        return measure

    return {
        "encode_frame": timed(lambda: network.encode_frame(images[0])),
        "prepare_pair": timed(lambda: network.prepare_pair(*frames)),
        "synthesise": timed(lambda: network.synthesise(pair, t)),
    }


def _run_clip(clip: vs.VideoNode, arguments: argparse.Namespace, checked: options.Options, device: torch.device) -> Run:
    """Request every frame of a new `interpolate()` in order and measure the time.

    The first two pairs and the frames after the last source frame are not counted.
    """
    from vsvfi.cli.phase_times import PhaseTimes
    from vsvfi.clip.graph import interpolate_with_config
    from vsvfi.engine.device import wait_for

    times = PhaseTimes(device)
    output = interpolate_with_config(
        clip,
        times,
        model=checked.model,
        weights=checked.weights,
        multi=checked.multi,
        scale=checked.scale,
        device=arguments.device,
        precision=checked.precision,
        streams=checked.streams,
        runtime=checked.runtime,
        tile=checked.tile,
        duplicates="off",
        scene="off",
    ).clip
    created = time.perf_counter()
    first = begun = ended = created
    for n, frame in enumerate(output.frames(close=True)):
        del frame
        if n == 1:
            first = time.perf_counter()
        if n == 2 * arguments.multi - 1:
            begun = time.perf_counter()
        if n == (clip.num_frames - 1) * arguments.multi - 1:
            ended = time.perf_counter()
    wait_for(device)
    return Run(first - created, ended - begun, times.between(begun, ended))


def _summary(values: list[float]) -> dict[str, float]:
    """Smallest, median and largest."""
    return {"min": round(min(values), 4), "median": round(statistics.median(values), 4), "max": round(max(values), 4)}
