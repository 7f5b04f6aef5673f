"""A model as a plain function of two images, without VapourSynth."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from vsvfi.engine.arguments import check_images, check_inputs, check_times
from vsvfi.engine.build import AnyInterpolator, LoadedModel, load_weights
from vsvfi.engine.device import inference
from vsvfi.engine.memory import check_memory, fitting_tile
from vsvfi.engine.model_config import ModelConfig, place
from vsvfi.engine.padding import Padding
from vsvfi.engine.pair import OpenedPair
from vsvfi.engine.placement import Placement
from vsvfi.errors import ArgumentError
from vsvfi.models.family import BuildConfig
from vsvfi.options import (
    Options,
    parse_devices,
    parse_model_options,
    parse_precision,
    parse_runtime,
    parse_scale,
    parse_tile,
    parse_weights,
)
from vsvfi.options.values import is_a, plain_text


class Model:
    """A model as a function of two images: `model(first, second, t)`.

    Pads and crops automatically. Caches nothing between calls except the built network.

    Args:
        config: the resolved options; its variant is that of the weights.
        placement: where to compute.
        loaded: the weights.
    """

    def __init__(self, config: ModelConfig, placement: Placement, loaded: LoadedModel) -> None:
        self.name = config.variant.name
        self.device = placement.device
        self.dtype = placement.dtype
        self.runtime = str(placement.runtime)
        self._config, self._placement, self._loaded = config, placement, loaded
        self._built: tuple[BuildConfig, AnyInterpolator] | None = None
        self._network(config.build_config(256, 256))

    def __call__(self, first: Tensor, second: Tensor, t: float | Tensor = 0.5, **inputs: Tensor) -> Tensor:
        """Interpolate the image at timestep t between two images.

        Values from -1 to 2 are accepted, since YUV conversion and resampling produce them; others, such as 0..255, and
        NaN are refused. The network is evaluated at exactly t, even if its weights only support t = 1/2 (see
        `list_models()`); `interpolate()` uses bisection for such models.

        Args:
            first: [B, 3, H, W] or [3, H, W] RGB in [0, 1], any size, any device, any floating type.
            second: the same shape.
            t: a number in [0, 1], or [B] of them; 0 is `first`, 1 is `second`.
            inputs: further tensors, if the family has any.

        Returns:
            The shape, device and type of `first`, in [0, 1].

        Raises:
            ArgumentError: wrong shapes or values, an unknown input, or a t outside [0, 1] or not supported.
            ClipError: the images are too large for the device's memory.
        """
        images = check_images(first, second)
        batch, _, height, width = images[0].shape
        times = check_times(t, batch)
        further = check_inputs(inputs, self._config.family.inputs, self._config.family.title)
        build = self._build(width, height, batch)
        padding = Padding.of(build, width, height)
        with inference(self.device):
            network = self._network(build)
            network.check_times(times)
            padded = (
                padding.pad(image.to(self.device, torch.float32)).contiguous(memory_format=torch.channels_last)
                for image in images
            )
            moved = {name: tensor.to(self.device) for name, tensor in further.items()}
            result = padding.crop(network(*padded, times.to(self.device), **moved))
        result = result.to(images[0].device, images[0].dtype).clone(memory_format=torch.contiguous_format)
        return result[0] if first.dim() == 3 else result

    def open(self, first: Tensor, second: Tensor) -> OpenedPair:
        """Prepare two images for any number of frames between them; arguments as for a call.

        Raises:
            ArgumentError: wrong shapes or values.
            ClipError: the images are too large for the device's memory.
        """
        images = check_images(first, second)
        batch, _, height, width = images[0].shape
        build = self._build(width, height, batch)
        bisects = self._config.variant.uses_bisection(build)
        padding = Padding.of(build, width, height)
        return OpenedPair(self._network(build), padding, *images, self.device, bisects=bisects)

    def flow(self, first: Tensor, second: Tensor, t: float = 0.5) -> dict[str, Tensor]:
        """Estimate the motion between two images: named flows, each [B, 2, H, W] in pixels, x then y.

        Names give start and end of the vectors: "0-1" and "1-0" from one image to the other, "t-0" and "t-1" from the
        frame at t to the images, "t" for motion per unit of time at the frame at t. Which flows exist depends on the
        family.

        Args:
            first: [B, 3, H, W] or [3, H, W] RGB in [0, 1].
            second: the same shape.
            t: in (0, 1).

        Raises:
            ArgumentError: wrong shapes or values, or a model that does not estimate flow.
        """
        time = Fraction(float(check_times(t, 1)))
        found = self.open(first, second).flow(time)
        if not found:
            title = self._config.family.title
            raise ArgumentError("model", self.name, f"{title} does not estimate flow", "use another model")
        return {name: flow[0] if first.dim() == 3 else flow for name, flow in found.items()}

    def _build(self, width: int, height: int, batch: int) -> BuildConfig:
        """The build config for a batch of images of this size, with the tile that fits in memory."""
        size = width, height
        config = fitting_tile(self._config, size, (self._placement,), batch)
        check_memory(config, size, self._placement, batch)
        return config.build_config(width, height)

    def _network(self, build: BuildConfig) -> AnyInterpolator:
        """The network for a build config; the last one is kept."""
        if self._built is None or self._built[0] != build:
            self._built = (build, self._loaded.network(build, self._placement))
        return self._built[1]


def load_model(
    name: str,
    weights: str | Path | Mapping[str, Tensor] | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
    scale: float | Fraction | None = None,
    options: Mapping[str, object] | None = None,
    runtime: str = "auto",
    tile: int | Literal["auto"] | None = None,
) -> Model:
    """Load a model as a function of tensors, without VapourSynth: `load_model("ifrnet")(first, second, 0.5)`.

    Precision "auto" is fp16 on CUDA and XPU where the model allows it, bf16 on CPUs with bfloat16 instructions for
    models that are as good in it, else fp32.

    Args:
        name: see `list_models()`.
        weights: a checkpoint file or a state dict with the published keys; None fetches the published weights.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", "xpu", or a torch.device.
        precision: "auto", "fp32", "fp16" or "bf16".
        scale: resolution of the motion estimation; None chooses by the family's rule for the size of each call.
        options: options of the model's family.
        runtime: "auto" (the device's default), "eager", "graph", "compile", "onnx" or "onnx:PROVIDER".
        tile: largest edge in pixels of what the network computes at once, "auto" to choose by the device's memory, or
            None for the whole image; the result is the same.

    Raises:
        ArgumentError and its kinds, WeightsError and its kinds: see `vsvfi.errors`.
    """
    if plain_text(name) is None:
        raise ArgumentError("name", name, "must be the name of a model", "see vsvfi.list_models()")
    devices = parse_devices(device)
    if len(devices) > 1:
        raise ArgumentError("device", device, "must be one device for a Model", "name one device")
    given = Options(
        model=str.__str__(name),
        devices=devices,
        precision=parse_precision(precision),
        scale=parse_scale(scale),
        options=parse_model_options(options),
        runtime=parse_runtime(runtime),
        tile=parse_tile(tile),
    )
    config = ModelConfig.of(given)
    config.build_config(256, 256)  # refuses a scale or options before the weights are fetched
    (placement,) = place(given, config)
    source = cast(Mapping[str, Tensor], weights) if is_a(weights, Mapping) else parse_weights(weights)
    loaded = load_weights(config, source)
    return Model(config.adopt(loaded.variant), placement, loaded)
