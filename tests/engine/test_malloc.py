"""Freed memory is retained while a session wants it, and released after that."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import vsvfi
from tests.fakes import Recorder, numbered
from vsvfi.engine import malloc
from vsvfi.errors import ArgumentError

PROGRAM = """
import os, resource, sys
from pathlib import Path
import torch
from vsvfi.engine import malloc
from vsvfi.errors import ArgumentError

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [torch.zeros(48 << 20, dtype=torch.uint8) for _ in range(3)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

malloc.VARIABLE in os.environ or sys.exit("VSVFI_MALLOC must be set")
usual = faults()
start = resident()
malloc.retain()
malloc.retain()
faults()
kept = faults()
malloc.restore()
still = faults()
malloc.restore()
print(usual, kept, still, (resident() - start) >> 20, faults())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc releases pages to the system and maps them again"
)
def test_no_new_pages_are_mapped_while_memory_is_retained() -> None:
    environment = {**os.environ, malloc.VARIABLE: "keep"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    usual, kept, still, more, after = (int(word) for word in done.stdout.split())
    assert usual > 1000  # or this test shows nothing
    assert kept < usual / 20
    assert after > 1000
    assert more < 48  # MiB: all was released
    # The first of two users is gone: what it freed was released, what is freed now is retained again
    assert still < usual / 2


ARENAS = """
import ctypes, sys, tempfile, threading
from vsvfi.engine import malloc

if sys.argv[1] == "keep":
    malloc.retain()
meeting = threading.Barrier(6)
def work():
    blocks = [bytearray(5000) for _ in range(100)]
    meeting.wait()
threads = [threading.Thread(target=work) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(library.fopen(file.name.encode(), b"w"))
    library.malloc_info(0, stream)
    library.fclose(stream)
    print(file.read().count(b"<heap nr="))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has several heaps")
def test_threads_share_one_heap_while_memory_is_kept() -> None:
    """With a heap for each, memory grows for thousands of frames."""
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    environment[malloc.VARIABLE] = "keep"
    heaps = []
    for what in ("leave", "keep"):
        command = [sys.executable, "-c", ARENAS, what]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        heaps.append(int(done.stdout))
    assert heaps[0] > 2  # or this test shows nothing
    assert heaps[1] == 1


def test_the_last_user_restores_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    library = SimpleNamespace(
        mallopt=lambda *given: calls.append(given) or given[1] < 1 << 26, malloc_trim=lambda pad: calls.append((pad,))
    )
    monkeypatch.setattr(malloc, "_glibc", lambda: library)
    monkeypatch.setattr(malloc, "_users", 0)
    monkeypatch.setenv(malloc.VARIABLE, "keep")
    malloc.retain()
    assert calls == [(-3, 1 << 30), (-3, 32 << 20), (-1, -1), (-8, 1)]  # this one refuses the larger value
    calls.clear()
    malloc.retain()
    malloc.restore()
    assert calls == [(0,)]
    calls.clear()
    malloc.restore()
    assert calls == [(-3, 128 << 10), (-1, 128 << 10), (0,)]


@pytest.mark.parametrize(
    ("value", "vspipe", "wanted"),
    [("", True, True), ("", False, False), ("keep", False, True), ("system", True, False)],
)
def test_a_host_program_is_left_alone_unless_asked(
    monkeypatch: pytest.MonkeyPatch, value: str, vspipe: bool, wanted: bool
) -> None:
    calls: list[tuple[int, ...]] = []
    library = SimpleNamespace(
        mallopt=lambda *given: calls.append(given) or 1, malloc_trim=lambda pad: calls.append((pad,))
    )
    monkeypatch.setattr(malloc, "_glibc", lambda: library)
    monkeypatch.setattr(malloc, "_in_vspipe", lambda: vspipe)
    monkeypatch.setattr(malloc, "_users", 0)
    monkeypatch.setenv(malloc.VARIABLE, value)
    malloc.retain()
    monkeypatch.setenv(malloc.VARIABLE, "")  # what was begun is ended, whatever the variable says by then
    malloc.restore()
    assert bool(calls) is wanted
    assert malloc._users == 0


def test_this_is_not_vspipe_and_a_wrong_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not malloc._in_vspipe()
    malloc._in_vspipe.cache_clear()
    monkeypatch.setattr(malloc.Path, "readlink", lambda path: malloc.Path("/usr/bin/vspipe"))
    assert malloc._in_vspipe()
    malloc._in_vspipe.cache_clear()
    monkeypatch.setattr(malloc, "_users", 0)
    monkeypatch.setenv(malloc.VARIABLE, "yes")
    with pytest.raises(ArgumentError, match="VSVFI_MALLOC='yes', must be 'keep' or 'system'"):
        malloc.retain()
    assert malloc._users == 0


def test_nothing_happens_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    malloc._glibc.cache_clear()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    try:
        assert malloc._glibc() is None
        users = malloc._users
        threads = [threading.Thread(target=lambda: (malloc.retain(), malloc.restore())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert malloc._users == users
    finally:
        malloc._glibc.cache_clear()


def test_pages_are_released_where_memory_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame may touch 1 MiB of free memory that none before it did: what is resident stays bounded for ever."""
    needed, spare, trims = 900 << 20, [0], []

    def release(pad: int) -> None:
        trims.append(spare[0])
        spare[0] = 0

    monkeypatch.setattr(malloc, "_glibc", lambda: SimpleNamespace(malloc_trim=release))
    monkeypatch.setattr(malloc, "_resident", lambda: needed + spare[0])
    for name, value in (("_changed", True), ("_frames", 0), ("_settled", None)):
        monkeypatch.setattr(malloc, name, value)

    def frames(count: int, growth: int) -> int:
        most = 0
        for _ in range(count):
            spare[0] += growth
            malloc.trim()
            most = max(most, spare[0])
        return most

    frames(640, 0)
    assert not trims
    assert frames(100_000, 1 << 20) < 400 << 20
    assert 100 < len(trims) < 800  # of 1562 checks
    monkeypatch.setattr(malloc, "_changed", False)  # another program's memory is left alone
    before = len(trims)
    frames(6400, 1 << 20)
    monkeypatch.setattr(malloc, "_in_vspipe", lambda: True)
    monkeypatch.setenv(malloc.VARIABLE, "system")  # nor is vspipe's touched where the user has turned this off
    frames(6400, 1 << 20)
    assert len(trims) == before
    monkeypatch.delenv(malloc.VARIABLE)
    frames(6400, 1 << 20)
    assert len(trims) > before
    monkeypatch.setattr(malloc, "_resident", lambda: None)
    frames(6400, 1 << 20)  # a system that does not say how much is resident


def test_resident_memory_is_that_of_this_process() -> None:
    """By the system's other account of it: on a machine short of memory, pages may leave while the test runs."""
    measured = malloc._resident()
    if measured is None:
        pytest.skip("the system does not say")
    status = Path("/proc/self/status").read_text()
    stated = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))
    assert abs(measured - stated) < 32 << 20


def allocated() -> int | None:
    """Bytes that this process has allocated with malloc, or None if unknown."""
    library = malloc._glibc()
    return library.mallinfo2().uordblks if library is not None and hasattr(library, "mallinfo2") else None


@pytest.mark.skipif(allocated() is None, reason="glibc has mallinfo2 since 2.33")
def test_nothing_held_grows_with_the_frame_number(fake_family: Recorder) -> None:
    clip = vsvfi.interpolate(numbered(length=400), model="fake", weights=fake_family.weights, device="cpu")

    def held(first: int, last: int) -> tuple[int, int]:
        for n in range(first, last):
            clip.get_frame(n).close()
        gc.collect()
        return allocated() or 0, len(gc.get_objects())

    held(0, 200)  # caches fill up
    bytes_before, objects_before = held(200, 400)
    bytes_after, objects_after = held(400, 800)
    assert bytes_after - bytes_before < 400 * 1024  # a kilobyte for each frame; one of these frames has more
    assert objects_after - objects_before < 200
