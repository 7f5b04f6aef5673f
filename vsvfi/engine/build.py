"""From a model's name to a network that is ready to run: registry, weights, strict load, device, precision. And
`Model`, the plain call.

Knows no clip and keeps nothing between calls but what a `Model` holds.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vsvfi.engine.arguments import check_images, check_inputs, check_times
from vsvfi.engine.device import describe, inference, memory, resolve_device, resolve_precision
from vsvfi.engine.padding import Padding
from vsvfi.errors import ArgumentError, ClipError, ForeignWeightsError, ModelSpecError
from vsvfi.models.family import Family, Setup, Variant
from vsvfi.models.interpolator import Interpolator
from vsvfi.models.registry import check_options, check_scale, find
from vsvfi.options import parse_devices, parse_model_options, parse_precision, parse_scale, parse_weights
from vsvfi.options.values import is_a, plain_text
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state, match_state

type AnyInterpolator = Interpolator[Any, Any]

_FILLS = (Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_)
_FLOAT_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
"""What torch's own modules make their parameters with; their type is torch's default one where it is not named."""
_FACTORIES = (*_FLOAT_FACTORIES, torch.full, torch.tensor, torch.as_tensor, torch.arange)


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A model with its weights read and checked; networks for any size, device and precision are built from it.

    Attributes:
        family, variant: what the registry says.
        state: the weights, under the network's own keys, float32 on the CPU.
    """

    family: Family
    variant: Variant
    state: Mapping[str, Tensor]

    def setup(self, width: int, height: int, scale: Fraction | None, options: Mapping[str, object]) -> Setup:
        """What is fixed for clips of this size.

        Raises:
            ArgumentError: the family does not take this scale or these options.
        """
        return self.family.setup(
            width,
            height,
            check_scale(self.family, scale, width, height),
            check_options(self.family, dict(options)),
            self.variant,
        )

    def needs(self, width: int, height: int, dtype: torch.dtype, pictures: int = 1) -> int:
        """Bytes that so many pictures at a time take with the weights; 0 for families that take too little to ask."""
        estimate = self.variant.memory or self.family.memory
        if estimate is None:
            return 0
        weights = sum(tensor.numel() for tensor in self.state.values()) * dtype.itemsize
        return weights + pictures * estimate(width, height, dtype.itemsize)

    def check_memory(
        self, width: int, height: int, device: torch.device, dtype: torch.dtype, pictures: int = 1
    ) -> None:
        """Refuse what cannot fit on the device, before minutes of work end in a lack of memory.

        Raises:
            ClipError: so many pictures of this size at a time take more memory than the device has.
        """
        needed, there = self.needs(width, height, dtype, pictures), memory(device)
        if needed > there:
            together = (
                f"{pictures} pictures of {width}x{height} at a time take" if pictures > 1 else f"{width}x{height} takes"
            )
            takes, has = (f"{size / 2**30:.1f} GiB" for size in (needed, there))
            raise ClipError(
                f"{together} {self.family.title} about {takes} in {str(dtype).removeprefix('torch.')}, "
                f"{describe(device)} has {has}",
                "use a smaller picture, fewer at a time (streams=1), precision='fp16' on a GPU, or another model",
            )

    def knobs(self, setup: Setup, device: torch.device, dtype: torch.dtype, workers: int) -> str:
        """What would make this model take less memory than it does, for people."""
        scales = self.family.scales
        knobs = ["a smaller scale="] if scales is None or min(scales) < setup.scale else []
        if device.type == "cuda" and dtype == torch.float32 and self.variant.half:
            knobs.append("precision='fp16'")
        if "memory" in self.family.options:
            knobs.append("a smaller options={'memory': ...}")
        if workers > 1:
            knobs.append("streams=1")
        return ", ".join([*knobs, "a smaller cache=", "a smaller picture or another model"])

    def network(self, setup: Setup, device: torch.device, dtype: torch.dtype) -> AnyInterpolator:
        """A network for inference: channels last, no gradients, its operators loaded and compiled."""
        network = _construct(self.family, self.variant, setup)
        state = {}
        for key, tensor in self.state.items():
            kept = key.startswith(network.full_precision) or not tensor.is_floating_point()
            state[key] = tensor.to(device, tensor.dtype if kept else dtype)
        network.load_state_dict(
            state, strict=True, assign=True
        )  # in float32 on the CPU these are the very tensors of the blueprint
        network = network.requires_grad_(False).eval().to(device=device)
        with inference(device):
            network.prepare_operators()
        return network


def read_model(name: str, weights: Path | Mapping[str, Tensor] | None = None) -> Blueprint:
    """The named model with its weights, fetched first where they are not on this machine.

    Args:
        name: see `list_models()`.
        weights: a checkpoint to use instead of the published one: a file, or a state dict under the published keys.

    Raises:
        UnknownModelError, MissingWeightsError, DownloadError, DamagedWeightsError, ForeignWeightsError: see
        `vsvfi.errors`.
    """
    family, variant = find(name)
    if isinstance(weights, Mapping):
        state, origin = load_state(weights), "the given state dict"
    else:
        path = weights or fetch(name, variant.sources, licence=variant.licence, licence_notice=variant.licence_notice)
        state, origin = load_state(path, mapped=True), str(path)
    if weights is not None and family.recognise is not None:
        try:
            variant = family.recognise(variant, state)
        except ValueError as error:
            raise ForeignWeightsError(origin, name, str(error)) from error
    checked = check_options(family, {})
    network = _construct(family, variant, family.setup(256, 256, family.default_scale(256, 256), checked))
    expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    if family.adapt_state is not None:
        state = family.adapt_state(state, expected)
    state = match_state(
        state,
        expected,
        origin=origin,
        model=name,
        ignored=family.ignored_keys,
        renamed=family.renamed_keys,
        dtypes={key: tensor.dtype for key, tensor in network.state_dict().items()},
    )
    return Blueprint(family, variant, {key: _own(tensor) for key, tensor in state.items()})


def _own(tensor: Tensor) -> Tensor:
    """A copy that follows neither the file nor the caller's tensor: float32, channels last, as networks use it."""
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    return tensor.to(
        "cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True, memory_format=layout
    )


def _construct(family: Family, variant: Variant, setup: Setup) -> AnyInterpolator:
    """The network class called with its configuration; its weights have shapes, but no values yet."""
    module, _, attribute = family.network.partition(":")
    try:
        network_class = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelSpecError(family.name, f"network={family.network!r} cannot be imported ({error})") from error
    with torch.random.fork_rng(devices=[]), _Construction():
        network = network_class(**variant.config, scale=setup.scale, **setup.arguments)
    if not isinstance(network, Interpolator):
        raise ModelSpecError(family.name, f"network={family.network!r} is not an Interpolator")
    return network


class _Construction(TorchFunctionMode):
    """While active, modules get float32 parameters on the CPU, whatever torch's defaults, without initial values.

    Weights are read from a checkpoint: to draw them first would take longer than anything else for hundreds of
    millions, and memory that nothing is written to costs nothing. (The meta device would do the same, and costs
    seconds of imports of its own.)
    """

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = dict(named or {})
        tensor = arguments[0] if arguments else named.get("tensor")
        if isinstance(tensor, nn.Parameter) and (
            function in _FILLS or getattr(function, "__module__", None) == nn.init.__name__
        ):
            return tensor
        if function in _FLOAT_FACTORIES and named.get("dtype") is None:
            named["dtype"] = torch.float32
        if function in _FACTORIES and named.get("device") is None:
            named["device"] = torch.device("cpu")
        return function(*arguments, **named)


class Model:
    """A model as a plain function of two images: `model(first, second, t)`. Pads and crops itself; remembers nothing
    between calls.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        device: torch.device,
        dtype: torch.dtype,
        scale: Fraction | None,
        options: Mapping[str, object],
    ) -> None:
        self.name = blueprint.variant.name
        self.device = device
        self.dtype = dtype
        self._blueprint = blueprint
        self._scale = scale
        self._options = options
        self._built: tuple[Setup, AnyInterpolator] | None = None
        self._network(blueprint.setup(256, 256, scale, options))

    def __call__(self, first: Tensor, second: Tensor, t: float | Tensor = 0.5, **inputs: Tensor) -> Tensor:
        """The picture at time t between two images.

        Args:
            first: [B, 3, H, W] or [3, H, W] RGB in [0, 1], any size, any device, any floating type. Values from -1 to 2
            are taken, as they come
                from YUV of any codes and from resampling; others, such as 0..255, and NaN are refused.
            second: the same shape.
            t: a number in [0, 1], or [B] of them; 0 is `first`, 1 is `second`. The network is asked at exactly this
            time, also where its weights
                know only t = 1/2 (see `list_models()`); `interpolate()` reaches other times of such models by halving.
            inputs: further tensors, where the family takes any.

        Returns:
            The shape, device and type of `first`, in [0, 1].

        Raises:
            ArgumentError: wrong shapes or values, a time outside [0, 1], an unknown input, or a time that the network
            cannot be asked at. ClipError: pictures so large that they cannot fit on the device.
        """
        images = check_images(first, second)
        batch, _, height, width = images[0].shape
        times = check_times(t, batch)
        further = check_inputs(inputs, self._blueprint.family.inputs, self._blueprint.family.title)
        setup = self._blueprint.setup(width, height, self._scale, self._options)
        self._blueprint.check_memory(width, height, self.device, self.dtype, batch)
        padding = Padding.of(setup, width, height)
        with inference(self.device):
            network = self._network(setup)
            padded = (
                padding.pad(image.to(self.device, torch.float32)).contiguous(memory_format=torch.channels_last)
                for image in images
            )
            moved = {name: tensor.to(self.device) for name, tensor in further.items()}
            result = padding.crop(network(*padded, times.to(self.device), **moved))
        result = result.to(images[0].device, images[0].dtype).clone(memory_format=torch.contiguous_format)
        return result[0] if first.dim() == 3 else result

    def _network(self, setup: Setup) -> AnyInterpolator:
        """The network for a set-up; the last one is kept."""
        if self._built is None or self._built[0] != setup:
            self._built = (setup, self._blueprint.network(setup, self.device, self.dtype))
        return self._built[1]


def load_model(
    name: str,
    weights: str | Path | Mapping[str, Tensor] | None = None,
    device: str | torch.device = "auto",
    precision: str = "auto",
    scale: float | Fraction | None = None,
    options: Mapping[str, object] | None = None,
) -> Model:
    """A model as a plain function of tensors, without VapourSynth: `load_model("ifrnet")(first, second, 0.5)`.

    Args:
        name: see `list_models()`.
        weights: a checkpoint file, or a state dict under the published checkpoint's own keys; None for the published
        (or packaged) weights,
            which are fetched first if need be.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", "xpu", or a torch.device.
        precision: "auto" (fp16 on CUDA where the model allows it; bf16 for builtin and rife40 on a CPU that has it;
        else fp32),
            "fp32", "fp16" or "bf16".
        scale: resolution of the motion estimation; None chooses by the family's rule for the size of each call.
        options: what only one family has.

    Raises:
        ArgumentError and its kinds, WeightsError and its kinds: see `vsvfi.errors`.
    """
    if plain_text(name) is None:
        raise ArgumentError("name", name, "must be the name of a model", "see vsvfi.list_models()")
    name = str.__str__(name)
    names = parse_devices(device)
    if len(names) > 1:
        raise ArgumentError("device", device, "a Model runs on one device", "name one")
    chosen = resolve_device(names[0])
    parsed = parse_scale(scale)
    checked = parse_model_options(options)
    family, variant = find(name)
    dtype = resolve_precision(parse_precision(precision), chosen, half=variant.half, bfloat=variant.bfloat)
    check_scale(family, parsed, 256, 256)
    check_options(family, checked)
    source = cast(Mapping[str, Tensor], weights) if is_a(weights, Mapping) else parse_weights(weights)
    return Model(read_model(name, source), chosen, dtype, parsed, checked)
