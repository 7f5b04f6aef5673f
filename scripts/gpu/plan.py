"""All steps, in order of value: a run that ends early has done the most important ones."""

from __future__ import annotations

import torch

from scripts.gpu import correctness, speed
from scripts.gpu.models import MODELS
from scripts.gpu.step import Step

_FAST = ("builtin", "ifrnet_s", "rife426", "ifrnet", "uprnet_base", "vfimamba_s")
"""Models for which launches, copies and streams matter."""


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
    found += [speed.whole("builtin", "1080p", runtimes[0], streams=streams) for streams in (1, 3)]
    found += [speed.whole("builtin", "1080p", runtimes[0], multi=8)]
    found += [speed.network(model, size, runtimes[0]) for size in ("720p", "2160p") for model in MODELS]
    found += [speed.whole(model, size, runtimes[0]) for size in ("720p", "2160p") for model in _FAST]
    return found
