"""One device: source frames in, blended frames out, nothing computed twice. Three phases and their caches.

Results depend on the request alone, never on what was asked before.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from vsvfi.engine import heap
from vsvfi.engine.build import AnyInterpolator
from vsvfi.engine.cache import Cache
from vsvfi.engine.device import describe, inference, limit_threads, limited_threads, release
from vsvfi.engine.memory_errors import is_out_of_memory
from vsvfi.engine.padding import Padding
from vsvfi.engine.still import Still, find_still
from vsvfi.engine.streams import Transfers
from vsvfi.engine.workers import ClosedError, Workers
from vsvfi.errors import DeviceMemoryError, VsvfiError
from vsvfi.models.interpolator import tensor_bytes
from vsvfi.plan.midpoints import chain
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
    """A picture on the source axis: source frame `first` (t = 0), or what was interpolated at t between two source
    frames.
    """

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
    excess: (
        Tensor | None
    )  # [1, 3, H, W]: what lay outside [0, 1] (super-white, super-black, highlights), unpadded; None where nothing did
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
        self.frames: Cache[Position, Encoded] = Cache(
            budget // 3, tensor_bytes, None if entries is None else 2 * entries
        )
        # A level of midpoints that were made together is held until the last of them was asked for: below that they
        # would all be made again for each.
        height, width = padding.top + padding.height + padding.bottom, padding.left + padding.width + padding.right
        level = 2**together // 2 * 3 * height * width * 4
        self.together = together if level * workers <= budget // 4 else 0
        held = level * workers if self.together else 0
        self.levels: Cache[tuple[int, int, int], list[Tensor]] = Cache(held, tensor_bytes, 2 * workers)
        self.pairs: Cache[tuple[Position, Position], Prepared] = Cache(
            budget - budget // 3 - held, tensor_bytes, entries
        )
        self.syntheses = 0
        self._count = threading.Lock()
        self._transfers = threading.local()
        if device.type == "cpu":
            # Each worker its share of the machine, whatever the others do: results must not depend on how many are
            # busy.
            share = max(1, torch.get_num_threads() // workers)
            prepare, borrowed = functools.partial(limit_threads, share), functools.partial(limited_threads, share)
            self._workers = Workers(workers, f"vsvfi-{device}", prepare, borrowed)
        else:
            self._workers = Workers(workers, f"vsvfi-{device}")
        if device.type == "cpu":
            heap.keep()  # the last step: what fails before it leaves nothing to undo

    def run(self, request: Request) -> None:
        """Make one frame on a thread of this lane and wait for it; waiting holds no lock and no GIL."""
        try:
            self._workers.run(functools.partial(self._make, request))
        except ClosedError:
            raise VsvfiError(CLOSED) from None

    def close(self) -> None:
        """Finish what runs, drop what waits and free everything; a step that fails does not stop the others."""
        with ExitStack() as stack:  # the last one first
            if self.device.type == "cpu":
                stack.callback(heap.give_back)
            stack.callback(release, self.device)
            stack.callback(self._drop)
            stack.callback(self._workers.close)

    def _drop(self) -> None:
        """Let go of whatever takes memory."""
        self._forget()
        self._transfers = threading.local()
        del self.network

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
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                failed = held
            # The error is gone here, and with it all that the attempt had made.
        raise DeviceMemoryError(request.n, describe(self.device), failed, self.knobs)

    def _blended(self, request: Request) -> Tensor:
        """The requested picture on the host, [3, H, W]."""
        blend = request.blend
        goal = Position(blend.first, blend.second, blend.t)
        known = self.frames.peek(goal) if self.halving else None
        picture, excess = self._interpolate(goal, request.load) if known is None else (known.image, (None, None))
        if self.halving:  # its ends may have been midpoints
            excess = self._excess(
                (Position(blend.first, blend.first), Position(blend.second, blend.second)), request.load
            )
        result = self.padding.crop(picture)
        for weight, outside in zip((1 - float(blend.t), float(blend.t)), excess, strict=True):
            if outside is not None:
                result = result + weight * outside
        return self._transfer().download(result, self.io_dtype)[0]

    def _interpolate(self, goal: Position, load: Load) -> tuple[Tensor, Excess]:
        """The padded picture at a position between two source frames, [1, 3, H, W], and the excess of the pair it was
        made from.

        A model that only halves gets there through midpoints; it may make all of a level at once. Which are made
        together depends on the factor of the clip alone, not on what happens to be asked at the same time: a batch of
        another size can have other last bits.
        """
        steps = goal.t.denominator
        if not self.halving or not 2 < steps <= 2**self.together:
            ((picture, excess),) = self._synthesised([goal], load)
            return picture, excess
        level = [Position(goal.first, goal.second, Fraction(step, steps)) for step in range(1, steps, 2)]
        made = self.levels.get(
            (goal.first, goal.second, steps), lambda: [picture for picture, _ in self._synthesised(level, load)]
        )
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
