"""Freed memory is kept while somebody wants it, and given back after that."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from vsvfi.engine import heap

PROGRAM = """
import resource, sys
from pathlib import Path
import torch
from vsvfi.engine import heap

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        pictures = [torch.zeros(48 << 20, dtype=torch.uint8) for _ in range(3)]
        del pictures
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

usual = faults()
start = resident()
heap.keep()
heap.keep()
faults()
kept = faults()
heap.give_back()
still = faults()
heap.give_back()
print(usual, kept, still, (resident() - start) >> 20, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives pages back and takes them again")
def test_frames_take_no_new_pages_while_memory_is_kept() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    usual, kept, still, more, after = (int(word) for word in done.stdout.split())
    assert usual > 1000  # or this test shows nothing
    assert kept < usual / 20
    assert after > 1000
    assert more < 48  # MiB: all was given back
    assert still < usual / 2  # the first of two users is gone: what it freed was given back, what is freed now is kept again


def test_the_last_user_restores_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    library = SimpleNamespace(mallopt=lambda *given: calls.append(given) or given[1] < 1 << 26, malloc_trim=lambda pad: calls.append((pad,)))
    monkeypatch.setattr(heap, "_glibc", lambda: library)
    monkeypatch.setattr(heap, "_users", 0)
    heap.keep()
    assert calls == [(-3, 1 << 30), (-3, 32 << 20), (-1, -1)]  # this one refuses the larger value
    calls.clear()
    heap.keep()
    heap.give_back()
    assert calls == [(0,)]
    calls.clear()
    heap.give_back()
    assert calls == [(-3, 128 << 10), (-1, 128 << 10), (0,)]


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    heap._glibc.cache_clear()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    try:
        assert heap._glibc() is None
        users = heap._users
        threads = [threading.Thread(target=lambda: (heap.keep(), heap.give_back())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert heap._users == users
    finally:
        heap._glibc.cache_clear()
