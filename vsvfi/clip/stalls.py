"""End a stall of VapourSynth's threads: above `core.max_cache_size` it starts no further frames, also not those that
waiting callbacks need.

A callback that waits for a frame holds memory meanwhile. If all memory below the limit is held in this way, nothing
is freed and nothing is started. Then the limit is raised by what is missing, with a warning, as a core without waiting
callbacks exceeds it too.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Iterator

import vapoursynth as vs

THREAD = "vsvfi-stalls"
"""Name of the thread that watches; it ends within a second after the last wait."""

_LOOK = 0.5
"""Seconds between looks; a stall has lasted for one at least."""

_MEBIBYTE = 1 << 20
_STEP = 64
"""MiB by which the limit exceeds what is in use after a stall, at least; else an eighth."""


class Stalls:
    """Watches the callbacks that wait for frames; a thread runs only while there are some."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._ended = 0
        self._running = False

    @contextlib.contextmanager
    def waiting(self, core: vs.Core) -> Iterator[None]:
        """Context manager of a wait for a frame."""
        with self._lock:
            self._waiting += 1
        try:
            self._start(core)
            yield
        finally:
            with self._lock:
                self._waiting -= 1
                self._ended += 1

    def _start(self, core: vs.Core) -> None:
        with self._lock, contextlib.suppress(RuntimeError, MemoryError):  # no thread: another wait tries again
            if not self._running:
                watch = threading.Thread(target=self._watch, args=(weakref.ref(core),), name=THREAD, daemon=True)
                watch.start()
                self._running = True

    def _watch(self, reference: weakref.ref[vs.Core]) -> None:
        """Look until nothing waits any more."""
        ended = -1
        while True:
            time.sleep(_LOOK)
            with self._lock:
                if not self._waiting:
                    self._running = False
                    return
                stalled, ended = ended == self._ended, self._ended
            core = reference()
            with contextlib.suppress(vs.Error, RuntimeError):  # the core is being destroyed
                if stalled and core is not None and core.used_cache_size > core.max_cache_size * _MEBIBYTE:
                    _raise_limit(core)
            del core


def _raise_limit(core: vs.Core) -> None:
    used = core.used_cache_size // _MEBIBYTE + 1
    core.max_cache_size = used + max(used // 8, _STEP)
    core.log_message(
        vs.MESSAGE_TYPE_WARNING,
        f"interpolate: frames that are needed at the same time take more than core.max_cache_size allows; it is raised "
        f"to {core.max_cache_size} MiB",
    )
    core.std.BlankClip(width=16, height=16, length=1).get_frame_async(0)  # wakes a thread
