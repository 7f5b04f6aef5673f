"""Build loaded models, networks, `Model`s and sessions from parts, bypassing the public functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from vsvfi.engine.build import AnyInterpolator, LoadedModel, load_weights
from vsvfi.engine.model import Model
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.observer import Observer
from vsvfi.engine.placement import Placement
from vsvfi.engine.run_config import ClipFacts, RunConfig, resolve_for_clip
from vsvfi.engine.session import Session
from vsvfi.models.family import BuildConfig
from vsvfi.models.registry import check_options
from vsvfi.options import Options

CPU = torch.device("cpu")
EXACT = Placement(CPU, torch.float32)


def loaded(name: str, weights: Path | Mapping[str, Tensor] | None = None) -> LoadedModel:
    """The named model with its weights."""
    return load_weights(ModelConfig.of(Options(model=name)), weights)


def model_config(
    model: LoadedModel, scale: Fraction | None = None, options: Mapping[str, object] | None = None
) -> ModelConfig:
    """What the options mean for a loaded model."""
    return ModelConfig(model.family, model.variant, scale, check_options(model.family, dict(options or {})))


def build_config(
    model: LoadedModel,
    width: int,
    height: int,
    scale: Fraction | None = None,
    options: Mapping[str, object] | None = None,
) -> BuildConfig:
    """What a network for this size is built with."""
    return model_config(model, scale, options).build_config(width, height)


def network_of(
    model: LoadedModel,
    width: int = 64,
    height: int = 64,
    scale: Fraction | None = None,
    options: Mapping[str, object] | None = None,
    dtype: torch.dtype = torch.float32,
) -> AnyInterpolator:
    """A network for this size on the CPU."""
    return model.network(build_config(model, width, height, scale, options), Placement(CPU, dtype))


def model_of(
    model: LoadedModel,
    scale: Fraction | None = None,
    options: Mapping[str, object] | None = None,
    placement: Placement = EXACT,
) -> Model:
    """A function of two images."""
    return Model(model_config(model, scale, options), placement, model)


def run_config(
    model: ModelConfig, size: tuple[int, int], multi: int = 2, workers: int = 1, cache: int | None = None
) -> RunConfig:
    """A run on the CPU in float32."""
    options = Options(devices=("cpu",), precision="fp32", streams=workers, cache=cache)
    return resolve_for_clip(model, options, ClipFacts(width=size[0], height=size[1], factor=Fraction(multi)))


def session_of(
    model: LoadedModel,
    size: tuple[int, int],
    scale: Fraction | None = None,
    options: Mapping[str, object] | None = None,
    *,
    devices: int = 1,
    observer: Observer | None = None,
    **run: int,
) -> Session:
    """A session on the CPU; several devices are the same one several times. `run` goes to `run_config`."""
    config = run_config(model_config(model, scale, options), size, **run)
    config = dataclasses.replace(config, placements=config.placements * devices, caches=config.caches * devices)
    return Session(config, model, observer)
