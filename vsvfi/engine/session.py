"""Spread interpolated frames over devices: the engine's face. Thread-safe.

Whoever asks passes a function that fills a buffer with source frame k, and one that takes the result.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from typing import Any

from vsvfi.engine.build import LoadedModel, load_weights
from vsvfi.engine.frame_source import Load
from vsvfi.engine.observer import Observer
from vsvfi.engine.run_config import ClipFacts, RunConfig, resolve
from vsvfi.engine.worker import CLOSED, Deliver, DeviceWorker, Request
from vsvfi.errors import VsvfiError
from vsvfi.options import Options
from vsvfi.plan.spread import spread
from vsvfi.plan.timeline import Interpolate

_log = logging.getLogger(__name__)


class Session:
    """Interpolates frames of one clip size with one model on one device or several.

    Args:
        config: the resolved options. Each device gets a network and caches of its own; pairs are spread over them, so
            a frame between pairs of two devices is encoded on both.
        model: the weights; of the variant that `config` is for.
        observer: is shown every call of a network.
    """

    def __init__(self, config: RunConfig, model: LoadedModel, observer: Observer | None = None) -> None:
        self.config = config
        self._workers: list[DeviceWorker[Any, Any]] = []
        # Also for a session that nobody closes: its threads, caches and memory settings go when it does.
        self._end = weakref.finalize(self, _close_all, self._workers)
        try:
            for placement, sizes in zip(config.placements, config.caches, strict=True):
                network = model.network(config.build, placement)
                self._workers.append(DeviceWorker(network, placement, sizes, config, observer or Observer()))
        except BaseException:
            self._end()
            raise
        self._open = True

    def interpolate(self, n: int, goal: Interpolate, load: Load, deliver: Deliver) -> None:
        """Make output frame n; returns when `deliver` has taken it. Any number of threads may ask at the same time.

        Raises:
            DeviceMemoryError: out of memory, also after the caches were emptied.
            VsvfiError: the session is closed.
        """
        if not self._open:
            raise VsvfiError(CLOSED)
        self._workers[spread(goal.first, len(self._workers))].run(Request(n, goal, load, deliver))

    def statistics(self) -> dict[str, int]:
        """Counters over all devices: frames encoded, pairs prepared, frames synthesised, cache hits, and bytes held now
        and at most.
        """
        counted = [worker.statistics() for worker in self._workers]
        return {name: sum(counters[name] for counters in counted) for name in counted[0]}

    def close(self) -> None:
        """Free the networks, caches and threads; may be called more than once."""
        self._open = False
        self._end()


def open_session(config: RunConfig, options: Options, clip: ClipFacts, observer: Observer | None = None) -> Session:
    """Load the model of a resolved run and open a session.

    Args:
        config: what `resolve(options, clip)` returned. Only where the weights turn out to be of another version than
            `options.model` names, which a file alone can say, is it resolved anew for that version.
        options, clip: what it was resolved from.
        observer: see `Session`.

    Raises:
        ArgumentError, ClipError and WeightsError and their kinds: see `vsvfi.errors`.
    """
    model = load_weights(config.model, options.weights)
    if model.variant != config.model.variant:
        config = resolve(options, clip, model.variant)
    return Session(config, model, observer)


def _close_all(workers: Sequence[DeviceWorker[Any, Any]]) -> None:
    """Close every worker. One that fails does not stop the others, nor whoever is done with the session."""
    for worker in workers:
        try:
            worker.close()
        except Exception as error:
            _log.warning("%s could not be closed properly (%s: %s)", worker.device, type(error).__name__, error)
