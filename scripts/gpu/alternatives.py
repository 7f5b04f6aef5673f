"""Steps that measure decisions made without a GPU (docs/gpu.md): what is done now against its alternative.

Each step reports both times and the gain, the share of the present time that the alternative saves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from scripts.benchmark.skeleton import measure
from scripts.gpu.models import build, config_of, moving_images
from scripts.gpu.step import Context, Step
from vsvfi.engine.build import AnyInterpolator
from vsvfi.engine.device import inference
from vsvfi.engine.placement import Placement, RuntimeChoice

WORTH = 0.05
"""The gain from which on an alternative replaces what is done now."""

_SIZE, _SMALL = (1920, 1080), (128, 64)

_UNALIGNED = ((273, 256, 1, 3), (19, 16, 1, 3), (76, 76, 4, 3), (17, 32, 2, 3), (181, 128, 4, 3))
"""Convolutions whose channels are no multiples of 8: inputs, outputs, reduction of 1080p, kernel."""


def autotuning(model: str) -> Step:
    """cuDNN's deterministic choice of algorithms against its fastest measured one."""

    def compare(context: Context) -> dict[str, Any]:
        call = _forward(model, context, _dtype(model, context))
        with inference(context.device):
            kept = call()
            with _autotuned():
                again = call()
            found = _compared(context, {"now": call, "alternative": _autotuned()(call)})
        return {**found, "equal_bits": torch.equal(kept, again), "model": model}

    return Step(f"{model} cuDNN deterministic against autotuned", compare, least=10)


@contextlib.contextmanager
def _autotuned() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = True, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def layout(model: str, dtype: torch.dtype) -> Step:
    """Channels last against planes, weights and images alike."""

    def compare(context: Context) -> dict[str, Any]:
        calls = {}
        for name, memory_format in (("now", torch.channels_last), ("alternative", torch.contiguous_format)):
            calls[name] = _forward(model, context, dtype, memory_format)
        with inference(context.device):
            return {**_compared(context, calls), "model": model}

    name = str(dtype).removeprefix("torch.")
    return Step(f"{model} {name} channels last against planes", compare, least=10)


def alignment(context: Context) -> dict[str, Any]:
    """Convolutions with odd numbers of channels, and the same with inputs padded to a multiple of 8."""
    dtype = torch.float16 if context.device.type == "cuda" else torch.float32
    width, height = _SMALL if context.small else _SIZE
    found = {}
    with inference(context.device):
        for inputs, outputs, factor, kernel in _UNALIGNED:
            calls = {}
            for name, count in (("now", inputs), ("alternative", -(-inputs // 8) * 8)):
                image = torch.rand(1, count, height // factor, width // factor, device=context.device).to(dtype)
                weight = torch.rand(outputs, count, kernel, kernel, device=context.device).to(dtype)
                calls[name] = _convolution(image, weight)
            found[f"{inputs} to {outputs} at 1/{factor}"] = _compared(context, calls)
    return {"convolutions": found}


def _convolution(image: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    image, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (image, weight))
    return lambda: functional.conv2d(image, weight, padding=weight.shape[2] // 2)


def batch_of_times(model: str, runtime: str, size: tuple[int, int] = _SIZE) -> Step:
    """All timesteps of 4x and 8x one by one, as they are computed now, against one batch."""

    def compare(context: Context) -> dict[str, Any]:
        found: dict[str, Any] = {"model": model, "runtime": runtime}
        placement = Placement(context.device, _dtype(model, context), RuntimeChoice.of(runtime))
        shape = _SMALL if context.small else size
        network, padding = build(model, placement, shape)
        with inference(context.device):
            first, second = moving_images(shape, 2, padding, context.device)
            pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
            for multi in (4, 8):
                times = torch.arange(1, multi, dtype=torch.float32, device=context.device) / multi
                calls = {"now": one_by_one(network, pair, times), "alternative": at_once(network, pair, times)}
                now, batched = (torch.cat(list(call())) for call in calls.values())
                found[f"{multi}x"] = {
                    **_compared(context, calls), "largest_difference": float((now - batched).abs().max())
                }  # fmt: skip
        return found

    return Step(f"{model} {runtime} timesteps one by one against a batch", compare, least=15)


def one_by_one(network: AnyInterpolator, pair: object, times: Tensor) -> Callable[[], list[Tensor]]:
    """A call that synthesises the timesteps of a pair one after another."""
    return lambda: [network.synthesise(pair, t) for t in torch.split(times, 1)]


def at_once(network: AnyInterpolator, pair: object, times: Tensor) -> Callable[[], list[Tensor]]:
    """A call that synthesises them in one batch."""
    return lambda: [network.synthesise(pair, times)]


def _dtype(model: str, context: Context) -> torch.dtype:
    """The default precision on the device."""
    return torch.float16 if context.device.type == "cuda" and config_of(model).variant.half else torch.float32


def _forward(
    model: str, context: Context, dtype: torch.dtype, memory_format: torch.memory_format = torch.channels_last
) -> Callable[[], Tensor]:
    """A call of a network's three phases on a pair at 1080p."""
    size = _SMALL if context.small else _SIZE
    network, padding = build(model, Placement(context.device, dtype), size)
    network = network.to(memory_format=memory_format)
    images = [image.contiguous(memory_format=memory_format) for image in
              moving_images(size, 2, padding, context.device)]  # fmt: skip
    t = torch.full((1,), 0.5, dtype=torch.float32, device=context.device)
    return lambda: network(*images, t)


def _compared(context: Context, calls: Mapping[str, Callable[[], object]]) -> dict[str, Any]:
    """The least milliseconds of both calls, which take turns, the gain, and whether it is large enough to change."""
    for call in calls.values():  # the second call of a runtime is still compared with eager execution
        call()
    seconds = measure(calls, context.device, 2 if context.small else 7)
    now, other = (min(seconds[name]) for name in ("now", "alternative"))
    gain = 1 - other / now
    return {"now_ms": round(1000 * now, 3), "alternative_ms": round(1000 * other, 3), "gain": round(gain, 3),
            "change": gain > WORTH}  # fmt: skip
