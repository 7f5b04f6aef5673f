"""One device: threads, transfers and a retry when memory runs out, around a pipeline."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from vsvfi.engine import malloc
from vsvfi.engine.device import describe, inference, limit_threads, limited_threads, release
from vsvfi.engine.exclusive import Sharing
from vsvfi.engine.frame_source import Codings, HostFrames, Load
from vsvfi.engine.memory import memory_advice
from vsvfi.engine.memory_errors import is_out_of_memory
from vsvfi.engine.observer import Observer
from vsvfi.engine.pipeline import Pipeline
from vsvfi.engine.placement import Placement
from vsvfi.engine.run_config import CacheSizes, RunConfig
from vsvfi.engine.streams import StreamPool, streams_of
from vsvfi.engine.workers import ClosedError, Workers
from vsvfi.errors import DeviceMemoryError, VsvfiError
from vsvfi.models.interpolator import Interpolator
from vsvfi.plan.timeline import Interpolate

_log = logging.getLogger(__name__)

CLOSED = "the session is closed: its script was unloaded"

type Deliver = Callable[[Tensor], None]
"""Receives the result on the host, RGB [3, H, W] or packed as loaded; it must copy the tensor before returning."""


@dataclass(frozen=True, slots=True)
class Request:
    """Output frame n, which shows `goal`; frames are loaded and delivered as RGB, or as the clip codes them."""

    n: int
    goal: Interpolate
    load: Load
    deliver: Deliver
    codings: Codings | None = None


class DeviceWorker[Frame, Pair]:
    """One device of a session.

    Args:
        network: on the device.
        placement: the device and its type.
        sizes: of the caches.
        config: the run's settings, shared by all devices.
        observer: is notified of every network call.
    """

    def __init__(
        self,
        network: Interpolator[Frame, Pair],
        placement: Placement,
        sizes: CacheSizes,
        config: RunConfig,
        observer: Observer,
    ) -> None:
        self.device = device = placement.device
        self._advice = memory_advice(config.model, config.build, placement, config.workers)
        self._padding = config.padding
        self._sharing = Sharing()
        self._checked = False
        self._streams = StreamPool(streams_of(device))
        self._frames = HostFrames(device, config.padding, config.io_dtype, config.frame_format)
        workers = config.workers
        self._pipeline = Pipeline(
            network, self._frames, device, sizes, workers=workers, bisects=config.bisects, observer=observer
        )
        self.statistics = self._pipeline.statistics
        if device.type == "cpu":
            # A fixed share of the threads per worker: results must not depend on how many workers are busy.
            share = max(1, torch.get_num_threads() // workers)
            prepare, borrowed = functools.partial(limit_threads, share), functools.partial(limited_threads, share)
            self._executor = Workers(workers, f"vsvfi-{device}", prepare, borrowed)
            malloc.retain()  # last, so that an earlier failure leaves nothing to undo
        else:
            self._executor = Workers(workers, f"vsvfi-{device}")

    def run(self, request: Request) -> None:
        """Compute one frame on a thread of this device and wait for it without holding a lock or the GIL."""
        try:
            self._executor.run(functools.partial(self._make, request))
        except ClosedError:
            raise VsvfiError(CLOSED) from None

    def close(self) -> None:
        """Finish running jobs, drop queued ones and free everything; a failing step does not stop the others."""
        with ExitStack() as stack:  # the last one first
            if self.device.type == "cpu":
                stack.callback(malloc.restore)
            stack.callback(release, self.device)
            stack.callback(self._drop)
            stack.callback(self._executor.close)

    def _drop(self) -> None:
        """Release buffers, caches and the network."""
        self._frames.forget()
        self._pipeline.close()

    def _make(self, request: Request) -> None:
        with self._sharing.shared():
            failed = self._attempt(request)
        if failed is None:
            return
        # Alone, since another worker's activations may be what leaves too little memory.
        with self._sharing.alone():
            self._pipeline.forget()
            release(self.device)
            failed = self._attempt(request)
        if failed is not None:
            raise DeviceMemoryError(request.n, describe(self.device), failed, self._advice)

    def _attempt(self, request: Request) -> str | None:
        """Compute and deliver a frame; return the size of the caches if memory runs out.

        The error is handled here: its traceback would keep the attempt's tensors alive.
        """
        held = self._pipeline.describe_caches()
        try:
            with (
                inference(self.device),
                self._streams.lent(),
                self._frames.loading(request.load, request.codings),
            ):
                request.deliver(self._interpolated(request.goal))
            malloc.trim()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return held
        return None

    def _interpolated(self, goal: Interpolate) -> Tensor:
        """The frame on the host, with the out-of-range values of its source frames added back."""
        image = self._padding.crop(self._pipeline.interpolate(goal))
        ends = [self._pipeline.source_frame(index) for index in (goal.first, goal.second)]
        for end, weight in zip(ends, (1 - float(goal.t), float(goal.t)), strict=True):
            if end.out_of_range is not None:
                image = image + weight * end.out_of_range
        if not self._checked:  # once, since the host has to wait for the answer
            self._checked = True
            if not bool(torch.isfinite(image).all()):
                _log.warning(
                    "%s: the first frame holds NaN or infinity; pass precision='fp32', or check the weights",
                    describe(self.device),
                )
        return self._frames.download(image, goal.first, ends)
