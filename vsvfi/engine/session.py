"""Spread blended frames over devices: the engine's face. Thread-safe.

Knows no clip and no format: whoever asks passes a function that fills a buffer with source frame k, and one that takes
the result.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch

from vsvfi.engine.build import Blueprint
from vsvfi.engine.cache import Statistics
from vsvfi.engine.device import default_cache
from vsvfi.engine.lane import CLOSED, Deliver, Lane, Load, Request
from vsvfi.engine.padding import Padding
from vsvfi.errors import VsvfiError
from vsvfi.plan.spread import spread
from vsvfi.plan.timeline import Blend

_log = logging.getLogger(__name__)


class Session:
    """Blends frames of one clip size with one model on one device or several.

    Args:
        blueprint: the model and its weights.
        devices: each gets a network and caches of its own; pairs are spread over them, so a frame between pairs of two
        devices is encoded on both. dtypes: what to compute in, per device.
        size: (width, height) of the clip.
        scale: resolution of the motion estimation, None for the family's choice.
        options: the family's options.
        workers: frames computed at the same time, per device.
        cache: bytes for the caches of each device, or None for the device's default and no more entries than sequential
        playback needs. io_dtype: type in which frames are loaded and delivered: float32 or float16.
        together: levels of halving whose midpoints are all wanted (`plan.midpoints.whole_levels`), for models that gain
        by making a level at once.

    Raises:
        ClipError: the device has too little memory for pictures of this size.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        devices: Sequence[torch.device],
        dtypes: Sequence[torch.dtype],
        size: tuple[int, int],
        scale: Fraction | None,
        options: Mapping[str, object],
        workers: int = 1,
        cache: int | None = None,
        io_dtype: torch.dtype = torch.float32,
        together: int = 0,
    ) -> None:
        width, height = size
        for device, dtype in zip(devices, dtypes, strict=True):
            blueprint.check_memory(width, height, device, dtype, workers)
        setup = blueprint.setup(width, height, scale, options)
        padding = Padding.of(setup, width, height)
        halving = blueprint.variant.halves(setup)
        entries = None if cache is not None else 2 + workers + (4 if halving else 0)
        self._lanes: list[Lane] = []
        # Also for a session that nobody closes: its threads, caches and memory settings go when it does.
        self._end = weakref.finalize(self, _close_all, self._lanes)
        try:
            for device, dtype in zip(devices, dtypes, strict=True):
                lane = Lane(
                    blueprint.network(setup, device, dtype),
                    device,
                    padding,
                    halving=halving,
                    io_dtype=io_dtype,
                    workers=workers,
                    budget=default_cache(device) if cache is None else cache,
                    entries=entries,
                    together=together if halving and blueprint.family.batches else 0,
                    knobs=blueprint.knobs(setup, device, dtype, workers),
                )
                self._lanes.append(lane)
        except BaseException:
            self._end()
            raise
        self._open = True

    def blend(self, n: int, blend: Blend, load: Load, deliver: Deliver) -> None:
        """Make output frame n; returns when `deliver` has taken it. Any number of threads may ask at the same time.

        Raises:
            DeviceMemoryError: out of memory, also after the caches were emptied.
            VsvfiError: the session is closed.
        """
        if not self._open:
            raise VsvfiError(CLOSED)
        self._lanes[spread(blend.first, len(self._lanes))].run(Request(n, blend, load, deliver))

    def statistics(self) -> dict[str, int]:
        """Counters over all devices: frames encoded, pairs prepared, pictures synthesised, cache hits, and bytes held
        now and at most.
        """
        frames, pairs = (
            [lane.frames.statistics() for lane in self._lanes],
            [lane.pairs.statistics() for lane in self._lanes],
        )
        both: list[Statistics] = frames + pairs + [lane.levels.statistics() for lane in self._lanes]
        return {
            "frames_encoded": sum(counted.computed for counted in frames),
            "pairs_prepared": sum(counted.computed for counted in pairs),
            "syntheses": sum(lane.syntheses for lane in self._lanes),
            "cache_hits": sum(counted.hits for counted in both),
            "bytes": sum(counted.bytes for counted in both),
            "peak_bytes": sum(counted.peak_bytes for counted in both),
        }

    def close(self) -> None:
        """Free the networks, caches and threads; may be called more than once."""
        self._open = False
        self._end()


def _close_all(lanes: Sequence[Lane]) -> None:
    """Close every lane. One that fails does not stop the others, nor whoever is done with the session."""
    for lane in lanes:
        try:
            lane.close()
        except Exception as error:
            _log.warning("%s could not be closed properly (%s: %s)", lane.device, type(error).__name__, error)
