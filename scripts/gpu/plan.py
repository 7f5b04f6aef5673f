"""All steps, in order of value: a run that ends early has done the most important ones."""

from __future__ import annotations

import torch

from scripts.gpu import alternatives, correctness, speed
from scripts.gpu.models import FAMILIES, MODELS
from scripts.gpu.step import Step

_FAST = ("builtin", "ifrnet_s", "rife426", "ifrnet", "uprnet_base", "vfimamba_s")
"""Models for which launches, copies and streams matter."""

_COMPILED = ("builtin", "rife426", "ifrnet_s")
"""Models to try other runtimes with before the rest: compiling takes a minute or more each."""


def steps(device: torch.device) -> list[Step]:
    """The steps for this device."""
    half = device.type == "cuda"
    runtimes = ("graph", "eager") if half else ("eager",)
    found = [Step("kernels", correctness.kernels, most=180)]
    found += [correctness.against_cpu(model, torch.float32) for model in MODELS]
    found += [correctness.against_cpu(model, torch.float16) for model in MODELS if half]
    found += [Step("interpolate against the CPU", correctness.clips, least=15)]
    found += [correctness.runtime_against_eager(model, "graph") for model in MODELS if half]
    found += [Step("colour against zimg", correctness.colour, least=10)]
    found += [speed.network(model, "1080p", runtime) for model in MODELS for runtime in runtimes]
    found += [speed.whole(model, "1080p", runtimes[0]) for model in _FAST]
    found += [Step("memory over 2,000 frames", correctness.flat_memory, least=40, most=240)]
    found += _alternatives(runtimes)
    found += _streams_and_factors(runtimes[0])
    found += _other_runtimes(device)
    found += [speed.network(model, size, runtimes[0]) for size in ("720p", "2160p") for model in MODELS]
    found += [speed.whole(model, size, runtimes[0]) for size in ("720p", "2160p") for model in _FAST]
    return found


def _alternatives(runtimes: tuple[str, ...]) -> list[Step]:
    """Decisions that were made without a GPU."""
    found = [alternatives.autotuning(model) for model in ("builtin", "rife426", "gimmvfi_r")]
    found += [alternatives.layout(model, torch.float32) for model in ("builtin", "ifrnet")]
    found += [Step("channels in multiples of 8", alternatives.alignment, least=10)]
    direct = [model for model in FAMILIES if model != "ldmvfi"]  # LDMVFI interpolates t = 1/2 only
    return found + [alternatives.batch_of_times(model, runtime) for runtime in runtimes for model in direct]


def _streams_and_factors(runtime: str) -> list[Step]:
    """`interpolate()` with 1 to 3 streams and at 8x, for every family."""
    found = [speed.whole(model, "1080p", runtime) for model in FAMILIES if model not in _FAST]
    for model in FAMILIES:
        found += [speed.whole(model, "1080p", runtime, streams=streams) for streams in (1, 3)]
        found += [speed.whole(model, "1080p", runtime, multi=8)]
    return found


def _other_runtimes(device: torch.device) -> list[Step]:
    """Runtimes that nobody gets without asking; each is skipped where it is not installed, or refuses the model."""
    providers = ("onnx:tensorrt", "onnx:cuda") if device.type == "cuda" else ("onnx:cpu",)
    found = []
    for models in (_COMPILED, tuple(model for model in FAMILIES if model not in _COMPILED)):
        for runtime in (*providers, "compile"):
            for model in models:
                found += [correctness.runtime_against_eager(model, runtime), speed.network(model, "1080p", runtime)]
    return found
