"""Estimate the memory of a run, refuse runs that cannot fit, and advise how to use less."""

from __future__ import annotations

from dataclasses import replace

import torch

from vsvfi.engine.device import default_cache, default_streams, describe, memory
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.placement import AUTO, EAGER, Placement
from vsvfi.engine.runtimes.registry import find
from vsvfi.errors import ClipError
from vsvfi.models.family import BuildConfig

HALO = 128
"""Pixels that estimates add to the edge of a tile for its halos and what is splatted into it."""

TILES = (2048, 1536, 1024, 768, 512, 384, 256)
"""Edges that `tile="auto"` chooses from."""


def estimate_memory(model: ModelConfig, size: tuple[int, int], placement: Placement, batch: int = 1) -> int:
    """Estimate the peak memory in bytes for `batch` concurrent frames, weights and the runtime's buffers included.

    0 if the family provides no estimate.
    """
    number = placement.dtype.itemsize
    frame = model.family.estimate_memory(model.variant, model.build_config(*size), size, number)
    if isinstance(model.tile, int):
        frame = _in_tiles(model, model.tile, size, number, frame)
    frame += int(frame * find(placement.runtime.name).memory_share)
    return model.variant.parameters * number + batch * frame if frame else 0


def fitting_tile(
    model: ModelConfig, size: tuple[int, int], placements: tuple[Placement, ...], frames: int = 1
) -> ModelConfig:
    """Choose the tile of `tile="auto"`: none if so many concurrent frames fit in memory, else the largest that fits.

    Runtimes that were chosen automatically count as eager execution, which replaces them where only that fits.
    """
    if model.tile != "auto":
        return model
    lightest = [replace(at, runtime=EAGER) if model.runtime == AUTO else at for at in placements]
    for tile in (None, *TILES):
        tiled = replace(model, tile=tile)
        if all(estimate_memory(tiled, size, at, frames) <= memory(at.device) for at in lightest):
            return tiled
    return replace(model, tile=TILES[-1])


def fitting_placements(
    model: ModelConfig, size: tuple[int, int], placements: tuple[Placement, ...]
) -> tuple[Placement, ...]:
    """Replace runtimes that were chosen automatically by eager execution where only that fits in memory."""
    return tuple(
        replace(placement, runtime=EAGER)
        if estimate_memory(model, size, placement) > memory(placement.device)
        else placement
        for placement in placements
    )


def fitting_cache(model: ModelConfig, size: tuple[int, int], placement: Placement, workers: int) -> int:
    """Bytes for the caches of a device: its default, or what the concurrent frames leave; at least an eighth of it."""
    default = default_cache(placement.device)
    left = memory(placement.device) - estimate_memory(model, size, placement, workers)
    return max(default // 8, min(default, left))


def fitting_workers(
    model: ModelConfig, size: tuple[int, int], placements: tuple[Placement, ...], requests: int | None
) -> int:
    """How many frames to compute concurrently per device.

    The devices' default, less if they do not fit in memory or the host requests fewer at a time.
    """
    found = min(default_streams(placement.device) for placement in placements)
    found = found if requests is None else min(found, max(1, requests))
    for placement in placements:
        while found > 1 and estimate_memory(model, size, placement, found) > memory(placement.device):
            found -= 1
    return found


def check_memory(model: ModelConfig, size: tuple[int, int], placement: Placement, batch: int = 1) -> None:
    """Refuse a run that cannot fit on the device, before it fails after minutes of work.

    Raises:
        ClipError: `batch` concurrent frames of this size need more memory than the device has.
    """
    needed, there = estimate_memory(model, size, placement, batch), memory(placement.device)
    if needed > there:
        width, height = size
        frames = f"{batch} concurrent frames of {width}x{height} take" if batch > 1 else f"{width}x{height} takes"
        takes, has = (f"{bytes_ / 2**30:.1f} GiB" for bytes_ in (needed, there))
        precision = str(placement.dtype).removeprefix("torch.")
        raise ClipError(
            f"{frames} {model.family.title} about {takes} in {precision}, {describe(placement.device)} has {has}",
            f"use {''.join(f'{remedy}, ' for remedy in _remedies(model, size, placement, batch))}"
            "smaller frames, or another model",
        )


def _remedies(model: ModelConfig, size: tuple[int, int], placement: Placement, batch: int) -> list[str]:
    """The arguments that lower the estimate of this run by more than a twentieth."""
    now = estimate_memory(model, size, placement, batch)
    scale = model.build_config(*size).scale
    smaller = [scale / 2] if model.family.scales is None else [each for each in model.family.scales if each < scale]
    tried = [("streams=1", model, placement, 1), ("runtime='eager'", model, replace(placement, runtime=EAGER), batch)]
    if placement.device.type == "cuda" and model.variant.half:
        tried.append(("precision='fp16'", model, replace(placement, dtype=torch.float16), batch))
    if tile := _tile_advice(model):
        tried.append((tile, replace(model, tile=TILES[-1]), placement, batch))
    if smaller:
        tried.append(("a smaller scale=", replace(model, scale=max(smaller)), placement, batch))
    if "memory" in model.options:
        less = replace(model, options={**model.options, "memory": 0})
        tried.append(("a smaller options={'memory': ...}", less, placement, batch))
    return [name for name, other, at, frames in tried if estimate_memory(other, size, at, frames) < 0.95 * now]


def memory_advice(model: ModelConfig, build: BuildConfig, placement: Placement, workers: int) -> str:
    """Suggest arguments that reduce this run's memory, for an error message."""
    family, variant = model.family, model.variant
    advice = ["a smaller scale="] if family.scales is None or min(family.scales) < build.scale else []
    if placement.device.type == "cuda" and placement.dtype == torch.float32 and variant.half:
        advice.append("precision='fp16'")
    if tile := _tile_advice(model):
        advice.append(tile)
    if "memory" in family.options:
        advice.append("a smaller options={'memory': ...}")
    if placement.runtime != EAGER:
        advice.append("runtime='eager'")
    if workers > 1:
        advice.append("streams=1")
    return ", ".join([*advice, "a smaller cache=", "smaller frames or another model"])


def _in_tiles(model: ModelConfig, tile: int, size: tuple[int, int], number: int, whole: int) -> int:
    """The estimate of one frame in tiles, which never exceeds that of the whole frame, `whole` (0 for none)."""
    build = model.build_config(*size)
    area = build.padded_area(*size)
    window = min(area, (tile + HALO) ** 2)
    tiled = model.family.tiled_memory(model.variant, build, area, window, number)
    return min(tiled, whole) if whole else tiled


def _tile_advice(model: ModelConfig) -> str:
    """A tile that is smaller than the run's, if it can be."""
    if model.family.no_tiles or (isinstance(model.tile, int) and model.tile <= TILES[-1]):
        return ""
    return "tile='auto'" if model.tile is None else "a smaller tile="
