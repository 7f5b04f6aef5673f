"""Spreads pairs over workers: evenly for every pair in turn, and as evenly for every second or fourth (drawings on twos
and fours). Pure arithmetic.
"""

from __future__ import annotations

_GOLDEN = 2654435769
"""2^32 divided by the golden ratio: its multiples fill the circle evenly, whatever the stride."""


def spread(index: int, count: int) -> int:
    """The worker, 0 to count - 1, of pair `index`.

    The remainder of the index would send all pairs of material on twos to every second worker.
    """
    return ((index * _GOLDEN & 0xFFFFFFFF) * count) >> 32
