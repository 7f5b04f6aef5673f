"""Predict every timestep of a pair under a protocol: the authors' padding, scale and bisection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import torch
from torch import Tensor

from scripts.evaluate.datasets import Item
from scripts.evaluate.images import read_image
from scripts.evaluate.protocols import Canvas, Pad, Protocol
from vsvfi.engine.build import AnyInterpolator, LoadedModel
from vsvfi.engine.device import inference
from vsvfi.engine.memory import check_memory
from vsvfi.engine.model_config import ModelConfig, place
from vsvfi.engine.padding import Padding
from vsvfi.engine.placement import Placement
from vsvfi.errors import ArgumentError
from vsvfi.models.family import BuildConfig, SizeRule
from vsvfi.models.registry import check_options
from vsvfi.options import Options, parse_precision
from vsvfi.plan.bisection import bisection_path, nearest


class Predictor(Interface):
    """Predicts the targets of an item: a model, or stored images."""

    def __call__(self, item: Item, first: Tensor, second: Tensor, index: int) -> list[Tensor]:
        """Return images [1, 3, H, W] float32 in [0, 1] on the CPU, one per target; `index` numbers the item."""
        ...


@dataclass(frozen=True, slots=True)
class StoredPredictor:
    """Images that an earlier run stored, in one folder."""

    folder: Path

    def __call__(self, item: Item, first: Tensor, second: Tensor, index: int) -> list[Tensor]:
        """See `Predictor`."""
        images = []
        for target in item.targets:
            path = self.folder / f"{target.name}.png"
            try:
                image = read_image(path)
            except OSError as error:
                remedy = "store the whole split first"
                raise ArgumentError("predictions", str(path), f"cannot be read ({error.strerror})", remedy) from error
            if image.shape[-2:] != first.shape[-2:]:
                rule = f"is {image.shape[2]}x{image.shape[1]}, must be {first.shape[3]}x{first.shape[2]}"
                raise ArgumentError("predictions", str(path), rule, "store predictions of this split")
            images.append(image[None].to(torch.float32) / 255)
        return images


@dataclass(slots=True)
class ModelPredictor:
    """A model on one device, under one protocol. For one thread at a time."""

    loaded: LoadedModel
    config: ModelConfig
    placement: Placement
    protocol: Protocol
    _network: tuple[BuildConfig, AnyInterpolator] | None = None

    def __call__(self, item: Item, first: Tensor, second: Tensor, index: int) -> list[Tensor]:
        """See `Predictor`. A model's noise depends on `index` and the timestep."""
        times = [target.time for target in item.targets]
        height, width = first.shape[2:]
        build, device = self.config.build_config(width, height), self.placement.device
        check_memory(self.config, (width, height), self.placement)
        with inference(device), _tf32(self.protocol.tf32 and device.type == "cuda"):
            if self._network is None or self._network[0] != build:
                self._network = (build, self.loaded.network(build, self.placement))
            network = self._network[1]
            steps = paddings(self.protocol.padding, build, width, height)
            images = []
            for image in (first, second):
                moved = image.to(device, torch.float32)
                for step in steps:
                    moved = step.pad(moved)
                images.append(moved.contiguous(memory_format=torch.channels_last))
            bisects = (
                self.config.variant.uses_bisection(build)
                if self.protocol.times is None
                else self.protocol.times == "bisection"
            )
            made = (_bisected if bisects else _direct)(network, images[0], images[1], times, index)
            results = []
            for image in made:
                for step in reversed(steps):
                    image = step.crop(image)
                results.append(image.float().clamp(0, 1).contiguous().cpu().clone())
        return results


def model_predictor(loaded: LoadedModel, device: str, protocol: Protocol) -> ModelPredictor:
    """A predictor on a device by name."""
    family = loaded.family
    config = ModelConfig(family, loaded.variant, protocol.scale, check_options(family, dict(protocol.options)))
    precision = parse_precision(protocol.precision)
    # eagerly, since data sets have images of many sizes
    (placement,) = place(Options(devices=(device,), precision=precision, runtime="eager"), config)
    return ModelPredictor(loaded, config, placement, protocol)


def paddings(wanted: Pad | Canvas | None, build: BuildConfig, width: int, height: int) -> list[Padding]:
    """Return the protocol's padding, and the additional padding of the network."""
    steps = []
    if isinstance(wanted, Canvas):
        right, bottom = max(wanted.width - width, 0), max(wanted.height - height, 0)
        steps.append(Padding(width, height, 0, right, 0, bottom, "constant", 0.0))
    elif wanted is not None:
        rule = SizeRule(multiple=wanted.multiple, centred=wanted.centred)
        border = "replicate" if wanted.value is None else "constant"
        steps.append(Padding(width, height, *rule.padding(width, height, Fraction(1)), border, wanted.value or 0.0))
    if steps:
        width += steps[0].left + steps[0].right
        height += steps[0].top + steps[0].bottom
    steps.append(Padding.of(build, width, height))
    return steps


def _direct(
    network: AnyInterpolator, first: Tensor, second: Tensor, times: Sequence[Fraction], index: int
) -> list[Tensor]:
    """Predict each timestep directly, preparing the pair once."""
    pair = network.prepare_pair(network.encode_frame(first), network.encode_frame(second))
    return [_synthesised(network, pair, t, index + t, first) for t in times]


def _bisected(
    network: AnyInterpolator, first: Tensor, second: Tensor, times: Sequence[Fraction], index: int
) -> list[Tensor]:
    """Predict each timestep by recursive bisection, computing each midpoint once."""
    images = {Fraction(0): first, Fraction(1): second}
    frames: dict[Fraction, Any] = {}

    def encoded(position: Fraction) -> Any:
        if position not in frames:
            frames[position] = network.encode_frame(images[position])
        return frames[position]

    for t in times:
        reached = nearest(t)
        for before, after in bisection_path(reached) if 0 < reached < 1 else ():
            middle = (before + after) / 2
            if middle not in images:
                pair = network.prepare_pair(encoded(before), encoded(after))
                images[middle] = _synthesised(network, pair, Fraction(1, 2), index + middle, first)
    return [images[nearest(t)] for t in times]


def _synthesised(network: AnyInterpolator, pair: Any, t: Fraction, position: Fraction, like: Tensor) -> Tensor:
    time = torch.full((1,), float(t), dtype=torch.float32, device=like.device)
    inputs: Mapping[str, Tensor] = network.random_inputs(pair, position)
    return network.synthesise(pair, time, **inputs)


@contextlib.contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Enable TF32 if requested, in both of torch's APIs; `inference` restores the settings."""
    if allowed:
        backends: Any = torch.backends
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = True
        for part in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
            part.fp32_precision = "tf32"
    yield


def rounded(image: Tensor) -> Tensor:
    """Round to 8 bits, to nearest, and convert back to [0, 1]."""
    return (image * 255).round() / 255
