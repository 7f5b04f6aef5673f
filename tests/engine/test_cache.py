"""Bounded by bytes, one computation per key, errors reach everyone, nothing survives clear()."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from vsvfi.engine.cache import Cache


def test_holds_no_more_than_its_capacity() -> None:
    cache: Cache[int, bytes] = Cache(100, len)
    for key in range(20):
        cache.get(key, lambda: bytes(30))
        assert cache.statistics().bytes <= 100
    counted = cache.statistics()
    assert (counted.computed, counted.evicted, counted.bytes, counted.peak_bytes) == (20, 17, 90, 90)
    assert [key for key in range(20) if cache.peek(key) is not None] == [17, 18, 19]


def test_the_least_recently_used_goes_first() -> None:
    cache: Cache[str, bytes] = Cache(2, len)
    for key in "abac":
        cache.get(key, lambda: b"x")
    assert cache.peek("a") == b"x"
    assert cache.peek("b") is None
    assert cache.statistics().hits == 1


def test_entries_bound_it_too() -> None:
    cache: Cache[int, bytes] = Cache(1000, len, entries=2)
    for key in range(5):
        cache.get(key, lambda: b"x")
    assert cache.statistics().bytes == 2


def test_a_value_larger_than_the_cache_is_handed_out_but_not_held() -> None:
    cache: Cache[int, bytes] = Cache(10, len)
    cache.get(1, lambda: bytes(10))
    assert cache.get(2, lambda: bytes(11)) == bytes(11)
    assert cache.peek(2) is None
    assert cache.peek(1) is not None


def test_one_computation_per_key() -> None:
    cache: Cache[int, int] = Cache(1000, lambda value: 1)
    started, release, count = threading.Event(), threading.Event(), []

    def compute() -> int:
        count.append(1)
        started.set()
        release.wait(10)
        return 7

    with ThreadPoolExecutor(8) as threads:
        results = [threads.submit(cache.get, 1, compute) for _ in range(8)]
        assert started.wait(10)
        release.set()
        assert [result.result(10) for result in results] == [7] * 8
    assert len(count) == 1


def test_an_error_is_the_computing_threads_own_and_is_not_remembered() -> None:
    """Whoever waited computes the value for themselves: their own source may be sound."""
    cache: Cache[int, int] = Cache(1000, lambda value: 1)
    started, release = threading.Event(), threading.Event()

    def fail() -> int:
        started.set()
        release.wait(10)
        raise RuntimeError("broken")

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(cache.get, 1, fail)
        assert started.wait(10)
        second = threads.submit(cache.get, 1, lambda: 5)
        release.set()
        with pytest.raises(RuntimeError, match="broken"):
            first.result(10)
        assert second.result(10) == 5
    assert cache.get(1, fail) == 5


@pytest.mark.parametrize("part", ["compute", "measure"])
def test_nothing_of_a_failed_computation_is_alive(part: str) -> None:
    """Without garbage collection: its results must be freed for the next attempt."""

    class Large:
        pass

    made: list[weakref.ref[Large]] = []
    faults = [1]

    def fail_once(here: str) -> None:
        if here == part and faults:
            faults.pop()
            raise MemoryError("bytes")

    def compute() -> Large:
        value = Large()
        made.append(weakref.ref(value))
        fail_once("compute")
        return value

    def measure(value: Large) -> int:
        fail_once("measure")
        return 1

    cache: Cache[int, Large] = Cache(1000, measure)
    gc.disable()
    try:
        try:
            cache.get(1, compute)
        except MemoryError:
            pass
        else:
            raise AssertionError("the fault was swallowed")
        assert made[0]() is None
        assert cache.statistics().bytes == 0
        assert cache.get(1, compute) is made[1]()  # within a moment: nobody waits for the failed one
    finally:
        gc.enable()


def test_what_is_computed_during_clear_is_not_held() -> None:
    cache: Cache[int, int] = Cache(1000, lambda value: 1)

    def compute() -> int:
        cache.clear()
        return 3

    assert cache.get(1, compute) == 3
    assert cache.peek(1) is None
    assert cache.statistics().bytes == 0
