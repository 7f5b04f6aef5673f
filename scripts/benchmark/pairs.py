"""Measure how fast models are against one another.

    python -m scripts.benchmark.pairs --size 640x360 --threads 1 rife426 rife40 builtin ifrnet_s
    python -m scripts.benchmark.pairs --threads 2 rife426@fp32@onnx:cpu rife426@bf16 rife426

A model's name may be followed by its precision and its runtime.
Processor time for a pair of frames in playback: one frame encoded, the pair prepared, and all its times in one batch.
Models take turns in every round, so that the ratio to the last model counts even where the machine is busy.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scripts.benchmark.playback import moving_pair
from scripts.benchmark.skeleton import finish, heading, measure, parser, show, size_of, start
from vsvfi import options
from vsvfi.cli.bench import write_random_weights
from vsvfi.engine.build import load_weights
from vsvfi.engine.device import inference
from vsvfi.engine.run_config import ClipFacts, resolve
from vsvfi.weights.fetch import installed


def main() -> None:
    arguments = parser(__doc__, size="640x360")
    arguments.add_argument("models", nargs="+", metavar="MODEL", help="the last one is what the others are compared to")
    arguments.add_argument("--multi", type=int, default=2, help="frames between two are one less (default: 2)")
    arguments.add_argument("--precision", default="fp32")
    arguments.add_argument("--wall", action="store_true", help="on a CPU, time by the clock instead of processor time")
    given = arguments.parse_args()
    device = start(given)
    first, second = moving_pair(*size_of(given))
    times = torch.arange(1, given.multi, dtype=torch.float32, device=device) / given.multi
    calls = {name: pair_of(name, given.device, given.precision, (first, second), times) for name in given.models}
    clock = time.process_time if device.type == "cpu" and not given.wall else time.perf_counter
    with inference(device):
        seconds = measure(calls, device, given.rounds, clock)
    heading(device, given.size, f"{given.multi}x", given.precision)
    least = {name: min(values) for name, values in seconds.items()}
    against = given.models[-1]
    show(seconds, remark=lambda name: f", {least[against] / least[name]:.2f} times as fast as {against}")
    finish(given, device, {"seconds": least, "against": against})


def pair_of(
    model: str, device: str, precision: str, images: tuple[Tensor, Tensor], times: Tensor
) -> Callable[[], Tensor]:
    """Build a model; returns a call that computes what a new pair needs in playback.

    `model` is NAME, NAME@PRECISION or NAME@PRECISION@RUNTIME; `precision` is that of the first form.

    Models whose weights are not installed get seeded random ones, which take the same time.
    """
    height, width = images[0].shape[2:]
    model, _, further = model.partition("@")
    wanted, _, runtime = further.partition("@")
    parsed = options.parse(model=model, device=device, precision=wanted or precision, runtime=runtime or "eager")
    config = resolve(parsed, ClipFacts(width=width, height=height))
    with tempfile.TemporaryDirectory() as folder:
        weights = installed(config.model.variant.sources)
        if weights is None:
            weights = Path(folder) / "random.safetensors"
            write_random_weights(model, weights)
        loaded = load_weights(config.model, weights)
    placement, padding = config.placements[0], config.padding
    network = loaded.network(config.build, placement)
    first, second = (
        padding.pad(image.to(placement.device)).contiguous(memory_format=torch.channels_last) for image in images
    )

    def run() -> Tensor:
        return network.synthesise(network.prepare_pair(frame, network.encode_frame(second)), times)

    with inference(placement.device):
        frame = network.encode_frame(first)
    return run


if __name__ == "__main__":
    main()
