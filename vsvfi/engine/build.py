"""Fetch and load the weights of a resolved model, and build networks from them on a device."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vsvfi.engine.device import inference, wait_for
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.placement import Placement
from vsvfi.engine.runtimes.binding import bind
from vsvfi.errors import ForeignWeightsError, ModelSpecError
from vsvfi.models.family import BuildConfig, Family, Variant
from vsvfi.models.interpolator import Interpolator
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state, match_state

type AnyInterpolator = Interpolator[Any, Any]

_FILLS = (Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_)
_FLOAT_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
"""What torch's own modules create their parameters with; without a dtype argument they use torch's default type."""
_FACTORIES = (*_FLOAT_FACTORIES, torch.full, torch.tensor, torch.as_tensor, torch.arange)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model's definition with its weights on the CPU, to build networks of any size, device and precision.

    Attributes:
        family, variant: from the registry; the variant is the version that the weights belong to.
        state: the weights, under the network's own keys, float32 on the CPU.
    """

    family: Family
    variant: Variant
    state: Mapping[str, Tensor]

    def network(self, build: BuildConfig, placement: Placement) -> AnyInterpolator:
        """Build a network for inference: channels last, no gradients, its operators loaded and compiled.

        Its pieces are run by the placement's runtime.
        """
        network = construct(self.family, self.variant, build)
        device, dtype = placement.device, placement.dtype
        state = {}
        for key, tensor in self.state.items():
            kept = key.startswith(network.full_precision) or not tensor.is_floating_point()
            state[key] = tensor.to(device, tensor.dtype if kept else dtype)
        # float32 networks on the CPU share the loaded model's tensors
        network.load_state_dict(state, strict=True, assign=True)
        network = network.requires_grad_(False).eval().to(device=device)
        with inference(device):
            network.prepare_operators()
            wait_for(device)  # workers use the weights on streams of their own
        return bind(network, self.family, self.variant, build, placement)


def load_weights(model: ModelConfig, weights: Path | Mapping[str, Tensor] | None = None) -> LoadedModel:
    """Load the model with its weights, downloading them first if they are not installed.

    Args:
        model: see `ModelConfig.of`.
        weights: a checkpoint to use instead of the published one: a file, or a state dict under the published keys.

    Raises:
        MissingWeightsError, DownloadError, DamagedWeightsError, ForeignWeightsError: see `vsvfi.errors`.
    """
    family, variant = model.family, model.variant
    name = variant.name
    if isinstance(weights, Mapping):
        state, origin = load_state(weights), "the given state dict"
    else:
        path = weights or fetch(name, variant.sources, licence=variant.licence, licence_notice=variant.licence_notice)
        state, origin = load_state(path, mapped=True), str(path)
    if weights is not None:
        try:
            variant = family.recognise(variant, state)
        except ValueError as error:
            raise ForeignWeightsError(origin, name, str(error)) from error
    build = ModelConfig(family, variant, None, model.options).build_config(256, 256)
    network = construct(family, variant, build)
    expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    state = match_state(
        family.adapt_state(state, expected),
        expected,
        origin=origin,
        model=name,
        ignored=family.ignored_keys,
        renamed=family.renamed_keys,
        dtypes={key: tensor.dtype for key, tensor in network.state_dict().items()},
    )
    return LoadedModel(family, variant, {key: own(tensor) for key, tensor in state.items()})


def own(tensor: Tensor) -> Tensor:
    """Copy to an independent tensor as networks use it: float32, channels last, not backed by the file or caller."""
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    return tensor.to(
        "cpu", torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True, memory_format=layout
    )


def construct(family: Family, variant: Variant, build: BuildConfig) -> AnyInterpolator:
    """Instantiate the network class; its weights are allocated but not initialised."""
    module, _, attribute = family.network.partition(":")
    try:
        network_class = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelSpecError(family.name, f"network={family.network!r} cannot be imported ({error})") from error
    with torch.random.fork_rng(devices=[]), _Construction():
        network = network_class(**variant.config, scale=build.scale, **build.arguments)
    if not isinstance(network, Interpolator):
        raise ModelSpecError(family.name, f"network={family.network!r} is not an Interpolator")
    return network


class _Construction(TorchFunctionMode):
    """Skip weight initialisation while active, and create float32 parameters on the CPU whatever torch's defaults.

    The checkpoint overwrites the weights, and initialising hundreds of millions of them would be the slowest step.
    (The meta device would do the same, but adds seconds of imports.)
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
