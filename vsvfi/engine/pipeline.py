"""Interpolate frames with cached intermediate results: a network's three phases, their caches, and bisection.

Results depend on the request alone, never on earlier requests. Cache keys are positions on the source axis: `Copy` for
a source frame, `Interpolate` for an interpolated one.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vsvfi.engine.cache import Cache, Statistics
from vsvfi.engine.frame_source import FrameSource, SourceFrame
from vsvfi.engine.observer import Observer
from vsvfi.engine.run_config import CacheSizes
from vsvfi.engine.runtimes.binding import release_specialised
from vsvfi.engine.static_regions import StaticRegion, find_static_region
from vsvfi.engine.streams import Ordered, Ordering, streams_of
from vsvfi.models.interpolator import Interpolator, tensor_bytes
from vsvfi.plan.bisection import bisection_path
from vsvfi.plan.timeline import Copy, FrameKey, Interpolate


@dataclass(frozen=True, slots=True)
class CachedFrame[Frame]:
    """Cache entry of one frame.

    Attributes:
        encoded: result of the network's encode_frame.
        image: [1, 3, H, W] in [0, 1], padded.
        out_of_range: see `SourceFrame`; None for interpolated frames.
    """

    encoded: Frame
    image: Tensor
    out_of_range: Tensor | None


@dataclass(frozen=True, slots=True)
class CachedPair[Pair]:
    """Cache entry of two frames.

    Attributes:
        prepared: result of the network's prepare_pair; None if the frames are identical.
        static_region: their static region.
    """

    prepared: Pair | None
    static_region: StaticRegion | None


class Pipeline[Frame, Pair]:
    """One network with its caches.

    Args:
        network: on its device.
        source: provides the source frames.
        device: of the network.
        sizes: of the caches.
        workers: threads that use it concurrently.
        bisects: the network is only evaluated at t = 1/2.
        observer: is notified of every network call.
    """

    def __init__(
        self,
        network: Interpolator[Frame, Pair],
        source: FrameSource,
        device: torch.device,
        sizes: CacheSizes,
        *,
        workers: int,
        bisects: bool,
        observer: Observer,
    ) -> None:
        self._network, self._source, self._device, self._observer = network, source, device, observer
        self._bisects, self._batched_levels = bisects, sizes.batched_levels
        entries = sizes.entries
        # Each entry has an event: workers of a GPU compute on streams of their own.
        self._ordering = Ordering(streams_of(device))
        self._frames: Cache[FrameKey, Ordered[CachedFrame[Frame]]] = Cache(
            sizes.frames, tensor_bytes, None if entries is None else 2 * entries
        )
        self._pairs: Cache[tuple[FrameKey, FrameKey], Ordered[CachedPair[Pair]]] = Cache(
            sizes.pairs, tensor_bytes, entries
        )
        self._levels: Cache[tuple[int, int, int], Ordered[list[Tensor]]] = Cache(
            sizes.levels, tensor_bytes, 2 * workers
        )
        self._synthesised = 0
        self._count = threading.Lock()

    def interpolate(self, goal: Interpolate) -> Tensor:
        """Interpolate a frame between two source frames: [1, 3, H, W], padded, in [0, 1].

        Bisection goes through midpoints, and may compute all midpoints of a level in one batch. The batches depend on
        the clip's factor alone, not on concurrent requests: another batch size can change the last bits of a result.
        """
        known = self._frames.peek(goal) if self._bisects else None
        if known is not None:
            return self._ordering.used(known).image
        steps = goal.t.denominator
        if not self._bisects or not 2 < steps <= 2**self._batched_levels:
            return self._synthesise([goal])[0]
        level = [Interpolate(goal.first, goal.second, Fraction(step, steps)) for step in range(1, steps, 2)]
        made = self._get(self._levels, (goal.first, goal.second, steps), functools.partial(self._synthesise, level))
        return made[goal.t.numerator // 2]

    def source_frame(self, index: int) -> SourceFrame:
        """Source frame `index`, from the cache if it is there."""
        held = self._frames.peek(Copy(index))
        if held is None:
            return self._source.read(index)
        frame = self._ordering.used(held)
        return SourceFrame(frame.image, frame.out_of_range)

    def forget(self) -> None:
        """Empty the caches, and free what the runtime holds."""
        for cache in (self._frames, self._pairs, self._levels):
            cache.clear()
        release_specialised(self._network)

    def close(self) -> None:
        """Release the caches and the network; counters are kept."""
        self.forget()
        del self._network

    def describe_caches(self) -> str:
        """Describe the size of the caches, for an error message."""
        frames, pairs = self._frames.statistics(), self._pairs.statistics()
        return f"frames {frames.bytes / 2**20:.0f} MiB, pairs {pairs.bytes / 2**20:.0f} MiB"

    def statistics(self) -> dict[str, int]:
        """Counters: frames encoded, pairs prepared, frames synthesised, cache hits, current and peak cache bytes."""
        frames, pairs = self._frames.statistics(), self._pairs.statistics()
        caches: list[Statistics] = [frames, pairs, self._levels.statistics()]
        return {
            "frames_encoded": frames.computed,
            "pairs_prepared": pairs.computed,
            "syntheses": self._synthesised,
            "cache_hits": sum(counted.hits for counted in caches),
            "bytes": sum(counted.bytes for counted in caches),
            "peak_bytes": sum(counted.peak_bytes for counted in caches),
        }

    def _synthesise(self, goals: Sequence[Interpolate]) -> list[Tensor]:
        """Synthesise the frames at several positions in one batch."""
        pairs = [self._pair(*self._ends(goal)) for goal in goals]
        # No pair is prepared between identical frames: every frame between them is the same.
        moving = [(goal, pair.prepared) for goal, pair in zip(goals, pairs) if pair.prepared is not None]
        with self._count:
            self._synthesised += len(moving)
        t = Fraction(1, 2) if self._bisects else goals[0].t
        times = torch.full((1,), float(t), dtype=torch.float32, device=self._device)
        noises = [self._network.random_inputs(prepared, goal.position) for goal, prepared in moving]
        images: list[Tensor] = []
        if moving:
            with self._observer.phase("synthesise", [goal.position for goal, _ in moving]):
                images = self._network.synthesise_batch([prepared for _, prepared in moving], times, noises)
        made, found = iter(images), []
        for pair in pairs:
            image = None if pair.prepared is None else next(made)
            if pair.static_region is not None:
                image = pair.static_region.image if image is None else pair.static_region.suppress_flicker(image)
            assert image is not None  # only identical frames have no prepared pair
            found.append(image)
        return found

    def _ends(self, goal: Interpolate) -> tuple[FrameKey, FrameKey]:
        """The two frames that a frame is interpolated between."""
        start, end = Copy(goal.first), Copy(goal.second)
        if not self._bisects:
            return start, end
        before, after = bisection_path(goal.t)[-1]
        return (
            start if before == 0 else Interpolate(goal.first, goal.second, before),
            end if after == 1 else Interpolate(goal.first, goal.second, after),
        )

    def _pair(self, first: FrameKey, second: FrameKey) -> CachedPair[Pair]:
        return self._get(self._pairs, (first, second), functools.partial(self._prepare, first, second))

    def _prepare(self, first: FrameKey, second: FrameKey) -> CachedPair[Pair]:
        before, after = self._frame(first), self._frame(second)
        static_region = find_static_region(before.image, after.image)
        if static_region is not None and static_region.mask is None:
            return CachedPair(None, static_region)
        with self._observer.phase("prepare_pair", [first.position, second.position]):
            return CachedPair(self._network.prepare_pair(before.encoded, after.encoded), static_region)

    def _frame(self, key: FrameKey) -> CachedFrame[Frame]:
        return self._get(self._frames, key, functools.partial(self._encode, key))

    def _get[K: Hashable, V](self, cache: Cache[K, Ordered[V]], key: K, compute: Callable[[], V]) -> V:
        """The value of a cache, for use on the current stream."""
        return self._ordering.used(cache.get(key, lambda: self._ordering.computed(compute())))

    def _encode(self, key: FrameKey) -> CachedFrame[Frame]:
        if isinstance(key, Copy):
            read = self._source.read(key.frame)
            image, out_of_range = read.image, read.out_of_range
        else:
            image, out_of_range = self.interpolate(key), None
        with self._observer.phase("encode_frame", [key.position]):
            return CachedFrame(self._network.encode_frame(image), image, out_of_range)
