"""The thread-safe heart: source frames in, blended frames out, nothing computed twice. Three phases, two caches per device.

Knows no clip and no format: whoever asks hands over a function that fills a buffer with source frame k, and one that takes the result.
Results depend on the request alone, never on what was asked before.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from vsvfi.engine import heap
from vsvfi.engine.build import AnyInterpolator, Blueprint
from vsvfi.engine.cache import Cache, Statistics
from vsvfi.engine.device import default_cache, describe, inference, limit_threads, release
from vsvfi.engine.padding import Padding
from vsvfi.engine.still import Still, find_still
from vsvfi.engine.streams import Transfers
from vsvfi.errors import DeviceMemoryError, VsvfiError
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.plan.midpoints import chain
from vsvfi.plan.spread import spread
from vsvfi.plan.timeline import Blend

CLOSED = "the session is closed: its script was unloaded"

type Load = Callable[[int, Tensor], None]
"""Fills a [1, 3, H, W] host tensor with source frame k, RGB; values outside [0, 1] are kept."""

type Deliver = Callable[[Tensor], None]
"""Takes the result, [3, H, W] on the host; it must be copied before returning."""


type Excess = tuple[Tensor | None, Tensor | None]
"""What two pictures have outside [0, 1]; None for nothing."""


@dataclass(frozen=True, slots=True)
class Position:
    """A picture on the source axis: source frame `first` (t = 0), or what was interpolated at t between two source frames."""

    first: int
    second: int
    t: Fraction = Fraction(0)

    @property
    def place(self) -> Fraction:
        """Where it is, in source frames."""
        return self.first + (self.second - self.first) * self.t


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is remembered of one picture."""

    frame: Any  # the family's own Frame
    excess: Tensor | None  # [1, 3, H, W]: what lay outside [0, 1] (super-white, super-black, highlights), unpadded; None where nothing did
    image: Tensor  # [1, 3, H, W] in [0, 1], padded


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is remembered of one pair."""

    pair: Any  # the family's own Pair; None between identical pictures
    still: Still | None  # what both pictures share
    excess: Excess


@dataclass(frozen=True, slots=True)
class Request:
    """One blended frame: output frame n shows `blend`."""

    n: int
    blend: Blend
    load: Load
    deliver: Deliver


class Lane:
    """One device: a network, its two caches and the threads that run it."""

    def __init__(
        self,
        network: AnyInterpolator,
        device: torch.device,
        padding: Padding,
        *,
        halving: bool,
        io_dtype: torch.dtype,
        workers: int,
        budget: int,
        entries: int | None,
        knobs: str,
        together: int = 0,
    ) -> None:
        self.network = network
        self.knobs = knobs
        self.device = device
        self.padding = padding
        self.halving = halving
        self.io_dtype = io_dtype
        self.frames: Cache[Position, Encoded] = Cache(budget // 3, tensor_bytes, None if entries is None else 2 * entries)
        # A level of midpoints that were made together is held until the last of them was asked for: below that they would all be made again for each.
        height, width = padding.top + padding.height + padding.bottom, padding.left + padding.width + padding.right
        level = 2**together // 2 * 3 * height * width * 4
        self.together = together if level * workers <= budget // 4 else 0
        held = level * workers if self.together else 0
        self.levels: Cache[tuple[int, int, int], list[Tensor]] = Cache(held, tensor_bytes, 2 * workers)
        self.pairs: Cache[tuple[Position, Position], Prepared] = Cache(budget - budget // 3 - held, tensor_bytes, entries)
        self.syntheses = 0
        self._count = threading.Lock()
        self._transfers = threading.local()
        limit = None
        if device.type == "cpu":
            heap.keep()
            # Each worker its share of the machine, whatever the others do: results must not depend on how many are busy.
            limit = functools.partial(limit_threads, max(1, torch.get_num_threads() // workers))
        self._workers = ThreadPoolExecutor(workers, f"vsvfi-{device}", initializer=limit)

    def run(self, request: Request) -> None:
        """Make one frame on a thread of this lane and wait for it; waiting holds no lock and no GIL."""
        try:
            made = self._workers.submit(self._make, request)
        except RuntimeError:  # shut down between the caller's look and now
            raise VsvfiError(CLOSED) from None
        try:
            made.result()
        except CancelledError:
            raise VsvfiError(CLOSED) from None

    def close(self) -> None:
        """Finish what runs, drop what waits and free everything."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._forget()
        del self.network
        self._transfers = threading.local()
        release(self.device)
        if self.device.type == "cpu":
            heap.give_back()

    def held(self) -> str:
        """What the caches hold, for people."""
        frames, pairs = self.frames.statistics(), self.pairs.statistics()
        return f"frames {frames.bytes / 2**20:.0f} MiB, pairs {pairs.bytes / 2**20:.0f} MiB"

    def _forget(self) -> None:
        """Empty the caches."""
        for cache in (self.frames, self.pairs, self.levels):
            cache.clear()

    def _make(self, request: Request) -> None:
        failed = ""
        for _ in range(2):
            if failed:
                self._forget()
                release(self.device)
            held = self.held()
            try:
                with inference(self.device):
                    request.deliver(self._blended(request))
                return
            except torch.OutOfMemoryError:
                failed = held
            except RuntimeError as error:  # what the CPU's allocator and the CUDA libraries raise
                if not any(sign in str(error) for sign in ("can't allocate memory", "ALLOC_FAILED")):
                    raise
                failed = held
        raise DeviceMemoryError(request.n, describe(self.device), failed, self.knobs)

    def _blended(self, request: Request) -> Tensor:
        """The requested picture on the host, [3, H, W]."""
        blend = request.blend
        goal = Position(blend.first, blend.second, blend.t)
        known = self.frames.peek(goal) if self.halving else None
        picture, excess = self._interpolate(goal, request.load) if known is None else (known.image, (None, None))
        if self.halving:  # its ends may have been midpoints
            excess = self._excess((Position(blend.first, blend.first), Position(blend.second, blend.second)), request.load)
        result = self.padding.crop(picture)
        for weight, outside in zip((1 - float(blend.t), float(blend.t)), excess, strict=True):
            if outside is not None:
                result = result + weight * outside
        return self._transfer().download(result, self.io_dtype)[0]

    def _interpolate(self, goal: Position, load: Load) -> tuple[Tensor, Excess]:
        """The padded picture at a position between two source frames, [1, 3, H, W], and the excess of the pair it was made from.

        A model that only halves gets there through midpoints; it may make all of a level at once. Which are made together depends on the factor of the clip
        alone, not on what happens to be asked at the same time: a batch of another size can have other last bits.
        """
        steps = goal.t.denominator
        if not self.halving or not 2 < steps <= 2**self.together:
            ((picture, excess),) = self._synthesised([goal], load)
            return picture, excess
        level = [Position(goal.first, goal.second, Fraction(step, steps)) for step in range(1, steps, 2)]
        made = self.levels.get((goal.first, goal.second, steps), lambda: [picture for picture, _ in self._synthesised(level, load)])
        return made[goal.t.numerator // 2], (None, None)

    def _synthesised(self, goals: Sequence[Position], load: Load) -> list[tuple[Tensor, Excess]]:
        """The pictures at several positions, each between two others, and the excess of their pairs."""
        prepared = [self._pair(*self._ends(goal), load) for goal in goals]
        # Whatever lies between identical pictures is the same: no pair was prepared there.
        moving = [index for index, made in enumerate(prepared) if made.pair is not None]
        with self._count:
            self.syntheses += len(moving)
        t = Fraction(1, 2) if self.halving else goals[0].t
        times = torch.full((1,), float(t), dtype=torch.float32, device=self.device)
        pairs = [prepared[index].pair for index in moving]
        noises = [self.network.random_inputs(pair, goals[index].place) for pair, index in zip(pairs, moving)]
        pictures = dict(zip(moving, self.network.synthesise_together(pairs, times, noises) if pairs else []))
        found = []
        for index, made in enumerate(prepared):
            picture = pictures.get(index)
            if made.still is not None:
                picture = made.still.image if picture is None else made.still.steady(picture)
            assert picture is not None
            found.append((picture, made.excess))
        return found

    def _ends(self, goal: Position) -> tuple[Position, Position]:
        """What a picture is interpolated between."""
        start, end = Position(goal.first, goal.first), Position(goal.second, goal.second)
        if not self.halving:
            return start, end
        before, after = chain(goal.t)[-1]
        return (
            start if before == 0 else Position(goal.first, goal.second, before),
            end if after == 1 else Position(goal.first, goal.second, after),
        )

    def _pair(self, first: Position, second: Position, load: Load) -> Prepared:
        def prepare() -> Prepared:
            before, after = self._encoded(first, load), self._encoded(second, load)
            still = find_still(before.image, after.image)
            identical = still is not None and still.region is None
            pair = None if identical else self.network.prepare_pair(before.frame, after.frame)
            return Prepared(pair, still, (before.excess, after.excess))

        return self.pairs.get((first, second), prepare)

    def _encoded(self, position: Position, load: Load) -> Encoded:
        def encode() -> Encoded:
            if position.first != position.second:
                image, _ = self._interpolate(position, load)
                return Encoded(self.network.encode_frame(image), None, image)
            image, excess = self._read(position.first, load)
            return Encoded(self.network.encode_frame(image), excess, image)

        return self.frames.get(position, encode)

    def _excess(self, ends: tuple[Position, Position], load: Load) -> Excess:
        """What the two source frames have outside [0, 1]."""
        held = self.pairs.peek(ends)
        if held is not None:
            return held.excess
        first, second = (self._encoded(end, load).excess for end in ends)
        return first, second

    def _read(self, index: int, load: Load) -> tuple[Tensor, Tensor | None]:
        """Source frame `index` on the device: padded and clamped to [0, 1], float32; and what was clamped off."""
        transfer = self._transfer()
        staging = transfer.staging((1, 3, self.padding.height, self.padding.width), self.io_dtype)
        load(index, staging)
        low, high = (float(bound) for bound in staging.aminmax())
        image = transfer.upload(staging)
        excess = None
        if not (low >= 0 and high <= 1):  # NaN compares false
            image = torch.nan_to_num(image, nan=0.0, posinf=1.0, neginf=0.0)
            clamped = image.clamp(0, 1)
            excess, image = image - clamped, clamped
        return self.padding.pad(image).contiguous(memory_format=torch.channels_last), excess

    def _transfer(self) -> Transfers:
        """This thread's copies and buffers."""
        transfer = getattr(self._transfers, "own", None)
        if not isinstance(transfer, Transfers):
            transfer = self._transfers.own = Transfers(self.device)
        return transfer


class Session:
    """Blends frames of one clip size with one model on one device or several.

    Args:
        blueprint: the model and its weights.
        devices: each gets a network and caches of its own; pairs are spread over them, so a frame between pairs of two devices is encoded on both.
        dtypes: what to compute in, per device.
        size: (width, height) of the clip.
        scale: resolution of the motion estimation, None for the family's choice.
        options: the family's options.
        workers: frames computed at the same time, per device.
        cache: bytes for the caches of each device, or None for the device's default and no more entries than sequential playback needs.
        io_dtype: type in which frames are loaded and delivered: float32 or float16.
        together: levels of halving whose midpoints are all wanted (`plan.midpoints.whole_levels`), for models that gain by making a level at once.

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
        self._lanes = [
            Lane(
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
            for device, dtype in zip(devices, dtypes, strict=True)
        ]
        self._open = True
        self._lock = threading.Lock()

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
        """Counters over all devices: frames encoded, pairs prepared, pictures synthesised, cache hits, and bytes held now and at most."""
        frames, pairs = [lane.frames.statistics() for lane in self._lanes], [lane.pairs.statistics() for lane in self._lanes]
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
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            for lane in self._lanes:
                lane.close()
