"""Let a runtime run the pieces of a network: specialise, compare with eager execution, and fall back to it."""

from __future__ import annotations

import copy
import logging
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from vsvfi.engine.device import describe
from vsvfi.engine.memory_errors import is_out_of_memory
from vsvfi.engine.placement import EAGER, Placement
from vsvfi.engine.runtimes.comparison import difference
from vsvfi.engine.runtimes.interface import Call, Piece, Runtime
from vsvfi.engine.runtimes.registry import find
from vsvfi.engine.runtimes.signature import signature_of, split
from vsvfi.errors import VsvfiError
from vsvfi.models.family import BuildConfig, Family, Variant
from vsvfi.models.interpolator import Interpolator
from vsvfi.packages import one_line

_log = logging.getLogger(__name__)

COMPARED_CALLS = 2
"""Calls of each specialised callable that are compared: one would not show a result that never changes."""

_SPECIALISED = 16
"""Specialised callables that one piece keeps: a clip needs one or two, images of many sizes any number."""


def bind[Frame, Pair](
    network: Interpolator[Frame, Pair], family: Family, variant: Variant, build: BuildConfig, placement: Placement
) -> Interpolator[Frame, Pair]:
    """Return the network with its pieces run by `placement.runtime`; it shares the weights.

    Eager execution returns the network itself.
    """
    if placement.runtime == EAGER:
        return network
    runtime, bound = find(placement.runtime.name), copy.copy(network)
    status = Status(f"{variant.name} on {describe(placement.device)}", str(placement.runtime))
    for name in network.pieces:
        piece = Piece(network, name, family, variant, build, placement)
        object.__setattr__(bound, name, BoundPiece(runtime, piece, status))
    return bound


def release_specialised(network: Interpolator[Any, Any]) -> None:
    """Free what the runtime of a bound network holds on the device; later calls specialise again."""
    for name in network.pieces:
        bound = vars(network).get(name)
        if isinstance(bound, BoundPiece):
            bound.clear()


def failure_of(network: Interpolator[Any, Any]) -> str | None:
    """Why eager execution replaced the runtime of a bound network, or None."""
    bound = next((piece for piece in vars(network).values() if isinstance(piece, BoundPiece)), None)
    return None if bound is None else bound.failure


def unbound[Frame, Pair](network: Interpolator[Frame, Pair]) -> Interpolator[Frame, Pair]:
    """The network that runs eagerly, of a bound one."""
    bound = next((piece for piece in vars(network).values() if isinstance(piece, BoundPiece)), None)
    return network if bound is None else bound.network


class Status:
    """Whether a runtime still runs a network; one failure ends it for all pieces.

    Args:
        what: the model and device, for the log.
        runtime: its name.
    """

    def __init__(self, what: str, runtime: str) -> None:
        self._what, self._runtime, self._lock = what, runtime, threading.Lock()
        self.failure: str | None = None

    def fail(self, piece: str, reason: str) -> None:
        """Note the first failure and log it."""
        with self._lock:
            if self.failure is not None:
                return
            self.failure = f"{piece}: {reason}"
        _log.warning(
            "%s: runtime=%r failed in %s, runtime='eager' replaces it (%s)", self._what, self._runtime, piece, reason
        )


class _Specialised:
    """A specialised callable, and how many of its calls are still compared."""

    __slots__ = ("call", "left")

    def __init__(self, call: Call) -> None:
        self.call, self.left = call, COMPARED_CALLS


class BoundPiece:
    """One method of a network, run by a runtime. Thread-safe as far as the specialised callables are."""

    def __init__(self, runtime: Runtime, piece: Piece, status: Status) -> None:
        self._runtime, self._piece, self._status = runtime, piece, status
        self._eager = piece.eager
        self._specialised: OrderedDict[Hashable, _Specialised] = OrderedDict()
        self._lock = threading.RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._status.failure is not None:
            return self._eager(*args, **kwargs)
        try:
            found = self._find(args, kwargs)
            if not found.left:
                return found.call(*args, **kwargs)
            with self._lock:
                result = found.call(*args, **kwargs)
                expected = self._eager(*args, **kwargs)
                reason = difference(result, expected, self._piece.placement.dtype)
                found.left -= found.left > 0
            if reason is None:
                return result
        except Exception as error:
            if isinstance(error, VsvfiError) or is_out_of_memory(error):
                raise
            reason, expected = one_line(error), None
        self._status.fail(self._piece.name, reason)
        self.clear()
        # outside the handler, whose error keeps the tensors of the failed call alive
        return self._eager(*args, **kwargs) if expected is None else expected

    @property
    def failure(self) -> str | None:
        """Why it runs eagerly now, or None."""
        return self._status.failure

    @property
    def network(self) -> Interpolator[Any, Any]:
        """The network itself."""
        return self._piece.network

    def clear(self) -> None:
        """Drop all specialised callables and what they hold."""
        with self._lock:
            self._specialised.clear()

    def _find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Specialised:
        """The callable for these arguments; the least recently used one makes room for a new one."""
        key = self._runtime.context(), signature_of(*split((args, kwargs)))
        with self._lock:
            found = self._specialised.get(key)
            if found is None:
                found = _Specialised(self._runtime.specialise(self._piece, args, kwargs))
                while len(self._specialised) >= _SPECIALISED:
                    self._specialised.popitem(last=False)
                self._specialised[key] = found
            self._specialised.move_to_end(key)
            return found
