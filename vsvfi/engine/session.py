"""Interpolate frames on one or more devices: the engine's public interface. Thread-safe.

Callers pass a function that fills a buffer with source frame k, and one that receives the result.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from typing import Any

from vsvfi.engine.build import LoadedModel, load_weights
from vsvfi.engine.frame_source import Codings, Load
from vsvfi.engine.observer import Observer
from vsvfi.engine.run_config import ClipFacts, RunConfig, resolve
from vsvfi.engine.worker import CLOSED, Deliver, DeviceWorker, Request
from vsvfi.errors import VsvfiError
from vsvfi.options import Options
from vsvfi.plan.assignment import assign_worker
from vsvfi.plan.timeline import Interpolate

_log = logging.getLogger(__name__)


class Session:
    """Interpolate frames of one size with one model on one or more devices.

    Each device has its own network and caches. Pairs are distributed over the devices, so a frame whose two pairs are
    on different devices is encoded on both.

    Args:
        config: the resolved options.
        model: the weights, of the variant in `config`.
        observer: is notified of every network call.
    """

    def __init__(self, config: RunConfig, model: LoadedModel, observer: Observer | None = None) -> None:
        self.config = config
        self._workers: list[DeviceWorker[Any, Any]] = []
        # Releases threads, caches and memory settings even if the session is never closed.
        self._end = weakref.finalize(self, _close_all, self._workers)
        try:
            for placement, sizes in zip(config.placements, config.caches, strict=True):
                network = model.network(config.build, placement)
                self._workers.append(DeviceWorker(network, placement, sizes, config, observer or Observer()))
        except BaseException:
            self._end()
            raise
        self._open = True

    def interpolate(
        self, n: int, goal: Interpolate, load: Load, deliver: Deliver, codings: Codings | None = None
    ) -> None:
        """Compute output frame n and pass it to `deliver`; any number of threads may call concurrently.

        Args:
            n, goal: the output frame, and what it shows.
            load, deliver: fill a buffer with a source frame, and take the result; in RGB unless there are `codings`.
            codings: of both source frames, to pass them as the clip stores them (`RunConfig.frame_format`).

        Raises:
            DeviceMemoryError: out of memory, even after emptying the caches.
            VsvfiError: the session is closed.
        """
        if not self._open:
            raise VsvfiError(CLOSED)
        self._workers[assign_worker(goal.first, len(self._workers))].run(Request(n, goal, load, deliver, codings))

    def statistics(self) -> dict[str, int]:
        """Sum the counters of all devices.

        Frames encoded, pairs prepared, frames synthesised, cache hits, current and peak bytes in the caches.
        """
        counted = [worker.statistics() for worker in self._workers]
        return {name: sum(counters[name] for counters in counted) for name in counted[0]}

    def close(self) -> None:
        """Free the networks, caches and threads; may be called more than once."""
        self._open = False
        self._end()


def open_session(config: RunConfig, options: Options, clip: ClipFacts, observer: Observer | None = None) -> Session:
    """Load the model of a resolved run and open a session.

    If the weights turn out to be of another version than `options.model`, the options are resolved again for that
    version.

    Args:
        config: the result of `resolve(options, clip)`.
        options, clip: what `config` was resolved from.
        observer: see `Session`.

    Raises:
        ArgumentError, ClipError and WeightsError and their kinds: see `vsvfi.errors`.
    """
    model = load_weights(config.model, options.weights)
    if model.variant != config.model.variant:
        config = resolve(options, clip, model.variant)
    return Session(config, model, observer)


def _close_all(workers: Sequence[DeviceWorker[Any, Any]]) -> None:
    """Close every worker; failures are logged and do not stop the others."""
    for worker in workers:
        try:
            worker.close()
        except Exception as error:
            _log.warning("%s could not be closed properly (%s: %s)", worker.device, type(error).__name__, error)
