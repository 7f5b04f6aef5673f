"""Assign frame pairs evenly over workers, also if only every second or fourth is used (on twos, fours)."""

from __future__ import annotations

_GOLDEN = 2654435769
"""2^32 divided by the golden ratio (Fibonacci hashing): its multiples are evenly distributed for any stride."""


def assign_worker(index: int, count: int) -> int:
    """The worker, 0 to count - 1, of pair `index`.

    With index modulo count, drawings on twos would use only every second worker.
    """
    return ((index * _GOLDEN & 0xFFFFFFFF) * count) >> 32
