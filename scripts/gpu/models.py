"""Networks with their packaged or seeded random weights, and moving images to run them on."""

from __future__ import annotations

import functools
import itertools
import tempfile
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from scripts.gpu.step import UnavailableError
from vsvfi import options
from vsvfi.cli.bench import write_random_weights
from vsvfi.engine.build import AnyInterpolator, LoadedModel, load_weights
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.padding import Padding
from vsvfi.engine.placement import Placement, RuntimeChoice
from vsvfi.engine.runtimes.registry import choose
from vsvfi.errors import ArgumentError
from vsvfi.weights.fetch import installed

MODELS = (
    "builtin", "ifrnet_s", "rife40", "rife426", "uprnet_base", "vfimamba_s", "gimmvfi_r", "ifrnet", "ifrnet_l",
    "uprnet_llarge", "vfimamba", "builtin_hq", "gimmvfi_f", "ldmvfi",
)  # fmt: skip
"""One or more of every family, the most used ones first."""

FAMILIES = ("builtin", "rife426", "ifrnet_s", "uprnet_base", "vfimamba_s", "gimmvfi_r", "ldmvfi")
"""One model of every family, and `builtin`."""

FEW_STEPS = {"ldmvfi": {"steps": 2}}
"""Options that make a check affordable without leaving out code."""


def config_of(model: str) -> ModelConfig:
    """The resolved model, with `FEW_STEPS`."""
    return ModelConfig.of(options.Options(model=model, options=FEW_STEPS.get(model, {})))


@functools.cache
def loaded(model: str) -> LoadedModel:
    """The model with its weights; seeded random ones where they are not installed, which take the same time."""
    config = config_of(model)
    weights = installed(config.variant.sources)
    if weights is not None:
        return load_weights(config, weights)
    with tempfile.TemporaryDirectory(prefix="vsvfi-gpu-") as folder:
        path = Path(folder) / "random.safetensors"
        write_random_weights(model, path)
        return load_weights(config, path)


def require(model: str, runtime: str, device: torch.device) -> None:
    """Check that a runtime can run a model here.

    Raises:
        UnavailableError: it cannot.
    """
    config = config_of(model)
    try:
        choose(RuntimeChoice.of(runtime), device.type, config.family, config.variant)
    except ArgumentError as error:
        raise UnavailableError(str(error)) from None


def build(model: str, placement: Placement, size: tuple[int, int]) -> tuple[AnyInterpolator, Padding]:
    """A network for frames of this width and height, and their padding."""
    made = config_of(model).build_config(*size)
    return loaded(model).network(made, placement), Padding.of(made, *size)


def moving_images(size: tuple[int, int], count: int, padding: Padding, device: torch.device) -> list[Tensor]:
    """Images of a texture that moves by a few pixels from one to the next, padded, as the engine passes them."""
    width, height = size
    reach = 8 * count
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, height // 8 + reach, width // 8 + reach, generator=generator, dtype=torch.float32,
                        device="cpu")  # fmt: skip
    texture = torch.nn.functional.interpolate(coarse, scale_factor=8, mode="bicubic").clamp(0, 1)
    images = [texture[..., 2 * at : 2 * at + height, 5 * at : 5 * at + width] for at in range(count)]
    return [padding.pad(image.to(device)).contiguous(memory_format=torch.channels_last) for image in images]


def run(network: AnyInterpolator, images: list[Tensor], t: float) -> list[Tensor]:
    """Interpolate between each image and the next, on the host in float32."""
    frames = [network.encode_frame(image) for image in images]
    times = torch.full((1,), t, dtype=torch.float32, device=images[0].device)
    made = []
    for at, (first, second) in enumerate(itertools.pairwise(frames)):
        pair = network.prepare_pair(first, second)
        inputs = network.random_inputs(pair, at + Fraction(t))
        made.append(network.synthesise_batch([pair], times, [inputs])[0].float().cpu())
    return made
