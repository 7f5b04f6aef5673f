"""Steps that compare results: kernels, families, runtimes, colour, `interpolate()`, and memory over many frames."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import torch
import vapoursynth as vs

from scripts.colour_against_zimg import codings, compare, formats
from scripts.gpu.models import build, config_of, moving_images, require, run
from scripts.gpu.step import Context, FailedError, Step
from vsvfi.cli.bench_clip import moving_clip
from vsvfi.clip.graph import interpolate_with_config
from vsvfi.clip.planes import planes_of
from vsvfi.engine.device import inference
from vsvfi.engine.placement import Placement, RuntimeChoice
from vsvfi.engine.runtimes.binding import failure_of
from vsvfi.engine.runtimes.comparison import deviation
from vsvfi.ops.dispatch import operators
from vsvfi.ops.probe import DEVICES

CPU = torch.device("cpu")
EXACT_BOUND = 1e-4
HALF_PSNR = 45.0
"""Least PSNR in dB of half precision to float32."""


def kernels(context: Context) -> dict[str, Any]:
    """Every kernel for this kind of device against the definition; each operator needs one that passes."""
    found: dict[str, dict[str, str]] = {}
    for operator in operators():
        backends = [kernel.backend for kernel in operator.kernels if DEVICES[kernel.backend] == context.device.type]
        found[operator.name] = {backend: operator.self_test(backend) or "passed" for backend in backends}
    without = [name for name, results in found.items() if results and "passed" not in results.values()]
    return _checked(not without, f"no kernel passes for {', '.join(without)}", {"kernels": found})


def against_cpu(model: str, dtype: torch.dtype) -> Step:
    """A model on the device against float32 on the CPU."""

    def check(context: Context) -> dict[str, Any]:
        size = (64, 64) if context.small else (256, 192)
        results = []
        for placement in (Placement(CPU, torch.float32), Placement(context.device, dtype)):
            network, padding = build(model, placement, size)
            with inference(placement.device):
                images = moving_images(size, 2, padding, placement.device)
                results.append([padding.crop(image) for image in run(network, images, 0.5)])
        expected, found = results
        there = deviation(found, expected)
        psnr = _psnr(found[0], expected[0])
        report = {"relative": there.relative, "largest": there.largest, "psnr": psnr}
        if dtype == torch.float32:
            return _checked(there.relative <= EXACT_BOUND, f"relative error {there.relative:.1e}", report)
        return _checked(psnr >= HALF_PSNR, f"{psnr:.1f} dB", report)

    return Step(f"{model} {str(dtype).removeprefix('torch.')} against the CPU", check, least=8)


def runtime_against_eager(model: str, runtime: str) -> Step:
    """A runtime against eager execution: replays with other inputs, in the default precision."""

    def check(context: Context) -> dict[str, Any]:
        require(model, runtime, context.device)
        size = (64, 64) if context.small else (640, 360)
        dtype = torch.float32 if context.device.type == "cpu" or not config_of(model).variant.half else torch.float16
        results, failure = [], None
        for name in ("eager", runtime):
            placement = Placement(context.device, dtype, RuntimeChoice.of(name))
            network, padding = build(model, placement, size)
            with inference(context.device):
                results.append(run(network, moving_images(size, 5, padding, context.device), 0.5))
            failure = failure_of(network)
        there = deviation(results[1], results[0])
        equal = all(map(torch.equal, *results))
        report = {"equal": equal, "relative": there.relative, "largest": there.largest, "failure": failure}
        return _checked(failure is None and there.relative <= 1e-2, failure or f"{there.relative:.1e}", report)

    return Step(f"{model} {runtime} against eager", check, least=8, most=300)


def clips(context: Context) -> dict[str, Any]:
    """`interpolate()` on the device and on the CPU: a cut, a static region, random order, eight requests at a time."""
    width, height, count = (64, 48, 6) if context.small else (320, 192, 12)
    moving = moving_clip(width, height, count)
    still = moving[0].std.Loop(count)
    half = moving.std.CropRel(right=width // 2)
    joined = vs.core.std.StackHorizontal([half, still.std.CropRel(left=width // 2)])
    clip = joined[: count // 2] + joined.std.FlipVertical()[count // 2 :]
    ours, reference = (
        interpolate_with_config(clip, device=str(device), precision="fp32", multi=3).clip
        for device in (context.device, CPU)
    )
    order = list(range(ours.num_frames))
    random.Random(0).shuffle(order)
    requested = [(n, ours.get_frame_async(n)) for n in order]
    largest = 0
    for n, future in requested:
        with future.result() as frame, reference.get_frame(n) as expected:
            for plane, other in zip(planes_of(frame), planes_of(expected), strict=True):
                largest = max(largest, int(abs(plane.astype("int32") - other.astype("int32")).max()))
    return _checked(largest <= 1, f"frames differ by {largest} codes", {"frames": len(order), "largest": largest})


def colour(context: Context) -> dict[str, Any]:
    """Conversions on the device against zimg, for every format: one code up to 10 bits, 4 above."""
    worst: dict[str, float] = {}
    for video_format in formats():
        if video_format.sample_type == vs.FLOAT:
            continue
        several = list(codings(video_format))
        for coding in several[:1] if context.small else several[:: max(1, len(several) // 4)]:
            found = compare(video_format, 48, 32, coding, seed=0, extreme=False, device=context.device)
            worst[video_format.name] = max(worst.get(video_format.name, 0.0), found.codes)
        if context.small and len(worst) > 2:
            break
    deep = {name: codes for name, codes in worst.items() if codes > 4}
    shallow = {name: codes for name, codes in worst.items() if codes > 1 and name.endswith(("P8", "P9", "P10"))}
    return _checked(not deep | shallow, f"too different: {deep | shallow}", {"largest": max(worst.values())})


def flat_memory(context: Context) -> dict[str, Any]:
    """Reserved device memory over many frames of `interpolate()`: the same after a fifth of them as at the end."""
    frames = 40 if context.small else 2000
    clip = moving_clip(*((64, 48) if context.small else (640, 360)), 32).std.Loop()[: frames // 2 + 1]
    output = interpolate_with_config(clip, device=str(context.device), scene="off", duplicates="off").clip
    reserved: Callable[[], int] = lambda: (  # noqa: E731
        torch.cuda.memory_reserved(context.device) if context.device.type == "cuda" else 0
    )
    early = made = 0
    for n, frame in enumerate(output.frames(close=True)):
        del frame
        made = n + 1
        if n == frames // 5:
            early = reserved()
        if context.left < 5:
            break
    late = reserved()
    report = {"frames": made, "early": early, "late": late}
    return _checked(late <= early * 1.02, f"grew from {early >> 20} to {late >> 20} MiB", report)


def _psnr(one: torch.Tensor, other: torch.Tensor) -> float:
    error = float((one - other).square().mean())
    return 200.0 if error == 0 else 10 * math.log10(1 / error) if math.isfinite(error) else 0.0


def _checked(passed: bool, reason: str, found: dict[str, Any]) -> dict[str, Any]:
    if not passed:
        raise FailedError(reason, found)
    return found
