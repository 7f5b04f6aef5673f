"""Steps that measure speed: networks alone and `interpolate()`, each beside its target where there is one."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from scripts.gpu.models import FEW_STEPS, build, config_of, moving_images, require
from scripts.gpu.step import Context, Step
from vsvfi import options
from vsvfi.cli import bench
from vsvfi.cli.multiply_adds import multiply_adds
from vsvfi.engine.device import inference
from vsvfi.engine.placement import Placement, RuntimeChoice
from vsvfi.engine.runtimes.binding import failure_of, unbound
from vsvfi.weights.fetch import installed

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}

TARGETS = {
    "ifrnet": 370.0, "uprnet_base": 230.0, "vfimamba_s": 200.0, "ifrnet_l": 90.0, "vfimamba": 60.0,
    "uprnet_llarge": 58.0, "gimmvfi_r": 30.0,
}  # fmt: skip
"""Output frames per second to reach at 1080p, 2x, on one H200."""

OUTSIDE = {True: 0.15, False: 0.05}
"""Largest share of the time outside the network to reach, on CUDA and elsewhere."""

PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "RTX 5090": 209.0, "RTX 4090": 165.0,
         "RTX 3090": 71.0, "T4": 65.0}  # fmt: skip
"""Dense half-precision TFLOP/s with float32 accumulation, by a part of the card's name."""


def network(model: str, size: str, runtime: str) -> Step:
    """Time the phases of a network on tensors that are on the device."""

    def measure(context: Context) -> dict[str, Any]:
        require(model, runtime, context.device)
        width, height = (64, 48) if context.small else SIZES[size]
        half = context.device.type == "cuda" and config_of(model).variant.half
        dtype = torch.float16 if half else torch.float32
        placement = Placement(context.device, dtype, RuntimeChoice.of(runtime))
        if context.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(context.device)
        bound, padding = build(model, placement, (width, height))
        times = {name: _least(call, context) for name, call in
                 bench.phases(bound, context.device, padding, (width, height)).items()}  # fmt: skip
        seconds = sum(times.values())
        with inference(context.device):
            images = moving_images((width, height), 2, padding, context.device)
            t = torch.full((1,), 0.5, dtype=torch.float32, device=context.device)
            adds = sum(multiply_adds(lambda: unbound(bound)(*images, t)).values())
        return {
            "model": model,
            "size": size,
            "runtime": runtime,
            "runtime_failure": failure_of(bound),
            "options": FEW_STEPS.get(model, {}),
            "phases_ms": {name: round(1000 * least, 4) for name, least in times.items()},
            "pairs_per_second": round(1 / seconds, 2),
            "output_fps_2x": round(2 / seconds, 2),
            "output_fps_8x": round(8 / (seconds + 6 * times["synthesise"]), 2),
            "target_fps": TARGETS.get(model) if size == "1080p" else None,
            "multiply_adds": adds,
            **_use(adds, seconds, context.device),
        }

    return Step(f"{model} {size} {runtime}", measure, least=15, most=300)


def whole(model: str, size: str, runtime: str, multi: int = 2, streams: int = 2) -> Step:
    """Time `interpolate()` with `vsvfi bench`: reading, colour, copies and the network."""

    def measure(context: Context) -> dict[str, Any]:
        parser = argparse.ArgumentParser()
        bench.add_arguments(parser)
        width, height = (64, 48) if context.small else SIZES[size]
        pairs = 4 if context.small else 48
        given = parser.parse_args(
            [f"--model={model}", f"--size={width}x{height}", f"--multi={multi}", f"--streams={streams}",
             f"--runtime={runtime}", f"--device={context.device}", f"--pairs={pairs}", "--rounds=2"]
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="vsvfi-gpu-") as folder:
            weights = installed(config_of(model).variant.sources)
            if weights is None:
                weights = Path(folder) / "random.safetensors"
                bench.write_random_weights(model, weights)
            checked = options.parse(
                model=model, multi=multi, device=str(context.device), streams=streams, runtime=runtime, weights=weights,
                options=FEW_STEPS.get(model),
            )  # fmt: skip
            found = bench.measure(given, checked, (width, height))
        return {
            **found,
            "streams": streams,
            "target_share_outside_network": OUTSIDE[context.device.type == "cuda"],
            "target_fps": TARGETS.get(model) if (size, multi) == ("1080p", 2) else None,
        }

    return Step(f"interpolate {model} {size} {runtime} {multi}x streams={streams}", measure, least=20, most=180)


def _least(call: Callable[[], float], context: Context) -> float:
    """The least time of a phase, for up to a second."""
    for _ in range(3):  # the first calls of a runtime are compared with eager execution
        call()
    times: list[float] = []
    total = 0.0
    while len(times) < 3 or (total < 0.7 and len(times) < 100 and not context.small):
        times.append(call())
        total += times[-1]
    return min(times)


def _use(adds: int, seconds: float, device: torch.device) -> dict[str, Any]:
    """How much of the card is used."""
    achieved = 2 * adds / seconds / 1e12
    found: dict[str, Any] = {"tflops": round(achieved, 3)}
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        peak = next((peak for part, peak in PEAKS.items() if part in name), None)
        found["peak_share"] = None if peak is None else round(achieved / peak, 4)
        found["peak_memory_mib"] = torch.cuda.max_memory_allocated(device) >> 20
        found["reserved_mib"] = torch.cuda.memory_reserved(device) >> 20
    return found
