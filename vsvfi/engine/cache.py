"""A least-recently-used cache bounded by bytes; concurrent requests for a key share one computation."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Statistics:
    """Counters of a cache."""

    hits: int = 0
    computed: int = 0
    evicted: int = 0
    bytes: int = 0
    peak_bytes: int = 0


@dataclass(slots=True, eq=False)
class _Flight[V]:
    """A computation in progress; other threads that need its value wait for `done`.

    `value` holds one value if there was no error. The error is not stored: its traceback would keep everything that
    the failed computation allocated alive.
    """

    done: threading.Event = field(default_factory=threading.Event)
    value: tuple[V] | None = None


class Cache[K: Hashable, V]:
    """A least-recently-used cache.

    Args:
        capacity: maximum bytes to store; a larger value is returned but not stored.
        measure: returns the bytes of a value.
        entries: maximum number of values, or None for as many as fit.
    """

    def __init__(self, capacity: int, measure: Callable[[V], int], entries: int | None = None) -> None:
        self._capacity = capacity
        self._measure = measure
        self._entries = entries
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._flights: dict[K, _Flight[V]] = {}
        self._lock = threading.Lock()
        self._statistics = Statistics()

    def get(self, key: K, compute: Callable[[], V]) -> V:
        """Return the value of `key`, computed by this thread if it is neither stored nor being computed.

        If `compute` or `measure` raises, the error is raised here and nothing is stored; waiting threads then compute
        the value themselves.
        """
        while True:
            with self._lock:
                held = self._values.get(key)
                if held is not None:
                    self._values.move_to_end(key)
                    self._statistics.hits += 1
                    return held[0]
                flight = self._flights.get(key)
                if flight is None:
                    flight = self._flights[key] = _Flight()
                    break
            flight.done.wait()
            if flight.value is not None:
                with self._lock:
                    self._statistics.hits += 1
                return flight.value[0]
        try:
            value = compute()
            size = self._measure(value)
            with self._lock:
                self._statistics.computed += 1
                if self._flights.get(key) is flight:  # else the cache was cleared meanwhile
                    self._hold(key, value, size)
            flight.value = (value,)
            return value
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.done.set()

    def peek(self, key: K) -> V | None:
        """Return the value of `key` if it is stored, else None."""
        with self._lock:
            held = self._values.get(key)
            return None if held is None else held[0]

    def clear(self) -> None:
        """Drop all values; those being computed at this moment are returned but not stored."""
        with self._lock:
            self._values.clear()
            self._flights.clear()
            self._statistics.bytes = 0

    def statistics(self) -> Statistics:
        """A copy of the counters."""
        with self._lock:
            counted = self._statistics
            return Statistics(counted.hits, counted.computed, counted.evicted, counted.bytes, counted.peak_bytes)

    def _hold(self, key: K, value: V, size: int) -> None:
        if size > self._capacity:
            return
        counted = self._statistics
        while self._values and (counted.bytes + size > self._capacity or len(self._values) == self._entries):
            _, (_, freed) = self._values.popitem(last=False)
            counted.bytes -= freed
            counted.evicted += 1
        self._values[key] = (value, size)
        counted.bytes += size
        counted.peak_bytes = max(counted.peak_bytes, counted.bytes)
