"""Every worker gets its share, for any stride."""

from __future__ import annotations

from collections import Counter

import pytest

from vsvfi.plan.assignment import assign_worker


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("start", [0, 1])
def test_shares_are_even(count: int, stride: int, start: int) -> None:
    length = 480
    shares = Counter(assign_worker(start + stride * k, count) for k in range(length))
    assert set(shares) == set(range(count))
    assert max(shares.values()) <= 1.6 * length / count
