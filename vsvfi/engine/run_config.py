"""Resolve the options for one clip: model variant, build config, devices, types, worker counts and cache sizes.

Options are resolved nowhere else, except those that do not depend on the clip (`model_config`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vsvfi.engine.model_config import ModelConfig, place
from vsvfi.engine.placement import AUTO, Placement
from vsvfi.models.family import BuildConfig, Variant
from vsvfi.options import Options
from vsvfi.plan.bisection import complete_levels

if TYPE_CHECKING:
    import torch

    from vsvfi.engine.frame_format import FrameFormat
    from vsvfi.engine.padding import Padding


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """Properties of the clip and the host that the run depends on.

    Attributes:
        width, height: of the frames.
        factor: output frames per source frame.
        fits_half: half precision represents the samples exactly enough to transfer frames in it.
        requests: frames that the host requests concurrently, or None if unknown.
        frame_format: of the frames, if they can be converted on the device.
    """

    width: int
    height: int
    factor: Fraction = Fraction(2)
    fits_half: bool = False
    requests: int | None = None
    frame_format: FrameFormat | None = None


@dataclass(frozen=True, slots=True)
class CacheSizes:
    """Limits of the caches of one device in bytes, and in entries (None for as many as fit).

    Attributes:
        batched_levels: levels of bisection whose midpoints are computed in one batch; `levels` bytes hold them.
    """

    frames: int
    pairs: int
    levels: int
    entries: int | None
    batched_levels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The resolved settings of a run.

    Attributes:
        model: family, variant and options.
        build: the build config of the networks.
        size: (width, height) of the frames.
        padding: from the frame size to the network's input size.
        placements: the devices that share the work, each with its own network.
        workers: concurrent frames per device.
        caches: sizes per device, in the order of `placements`.
        io_dtype: type in which RGB frames are loaded and returned.
        frame_format: format in which frames are loaded, returned and converted on the device; None for RGB only.
        bisects: timesteps other than 1/2 are reached by bisection (`plan.bisection`).
    """

    model: ModelConfig
    build: BuildConfig
    size: tuple[int, int]
    padding: Padding
    placements: tuple[Placement, ...]
    workers: int
    caches: tuple[CacheSizes, ...]
    io_dtype: torch.dtype
    bisects: bool
    frame_format: FrameFormat | None = None

    def describe_devices(self) -> str:
        """The devices' display names."""
        from vsvfi.engine.device import describe

        return ", ".join(describe(placement.device) for placement in self.placements)

    @property
    def tile(self) -> int | None:
        """The largest edge of a tile; None if networks compute the whole picture at once."""
        tile = self.build.arguments.get("tile")
        return tile if isinstance(tile, int) else None

    def describe(self) -> str:
        """Describe the run in one line, for the log."""
        precision = str(self.placements[0].dtype).removeprefix("torch.")
        colour = "" if self.frame_format is None else ", colour converted on the device"
        tiles = f", tiles of {self.tile} pixels" if self.tile else ""
        runtimes = ", ".join(dict.fromkeys(str(placement.runtime) for placement in self.placements))
        return (
            f"{self.model.variant.name} on {self.describe_devices()} in {precision}, runtime {runtimes}, "
            f"{self.workers} at a time{tiles}{colour}"
        )


def resolve(options: Options, clip: ClipFacts, variant: Variant | None = None) -> RunConfig:
    """Resolve the options for frames of this clip.

    Args:
        options: parsed.
        clip: the frames.
        variant: replaces the one of `options.model` if the weights are of another version (`Family.recognise`).

    Raises:
        UnknownModelError, ArgumentError, DeviceError: an option cannot be satisfied.
        ClipError: the device has too little memory for frames of this size.
    """
    model = ModelConfig.of(options)
    return resolve_for_clip(model if variant is None else model.adopt(variant), options, clip)


def resolve_for_clip(model: ModelConfig, options: Options, clip: ClipFacts) -> RunConfig:
    """Like `resolve`, for a model that is already resolved."""
    model.build_config(clip.width, clip.height)  # refuses a scale or options before devices are looked for
    placements = place(options, model)

    import torch

    from vsvfi.engine.colour_path import choose_colour
    from vsvfi.engine.memory import check_memory, fitting_cache, fitting_placements, fitting_tile, fitting_workers
    from vsvfi.engine.padding import Padding

    size = (clip.width, clip.height)
    model = fitting_tile(model, size, placements, options.streams or 1)
    build = model.build_config(*size)
    if model.runtime == AUTO:
        placements = fitting_placements(model, size, placements)
    padding = Padding.of(build, *size)
    workers = options.streams or fitting_workers(model, size, placements, clip.requests)
    for placement in placements:
        check_memory(model, size, placement, workers)
    half = clip.fits_half and all(placement.dtype == torch.float16 for placement in placements)
    bisects = model.variant.uses_bisection(build)
    levels = complete_levels(clip.factor) if bisects and model.family.batches else 0
    entries = None if options.cache is not None else 2 + workers + (4 if bisects else 0)
    given = options.cache
    budgets = [fitting_cache(model, size, at, workers) if given is None else given for at in placements]
    return RunConfig(
        model=model,
        build=build,
        size=size,
        padding=padding,
        placements=placements,
        workers=workers,
        caches=tuple(_split(budget, entries, padding.padded_area, workers, levels) for budget in budgets),
        io_dtype=torch.float16 if half else torch.float32,
        bisects=bisects,
        frame_format=clip.frame_format if choose_colour({at.device.type for at in placements}).on_device else None,
    )


def _split(budget: int, entries: int | None, area: int, workers: int, levels: int) -> CacheSizes:
    """Divide a device's cache bytes among its caches.

    A level of midpoints computed in one batch is cached until the last of them is requested. Without room for that,
    each request would compute the whole level again, so midpoints are then computed one by one.
    """
    level = 2**levels // 2 * 3 * area * 4
    batched = levels if level * workers <= budget // 4 else 0
    held = level * workers if batched else 0
    return CacheSizes(budget // 3, budget - budget // 3 - held, held, entries, batched)
