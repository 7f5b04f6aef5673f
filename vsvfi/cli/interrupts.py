"""Turn the signals that mean "stop" into one KeyboardInterrupt, and defer it in code that must complete.

Repeated signals (an impatient Ctrl-C, a closing terminal) would otherwise end the clean-up that the first one started.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
_PAUSE = 2.0
"""Seconds after an interrupt in which further signals count as the same one."""


class _State:
    """State of the handler; signals are process-wide, so there is one."""

    active = False
    shields = 0
    pending = False
    raised = float("-inf")


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.shields:
        _State.pending = True
    elif time.monotonic() - _State.raised >= _PAUSE:
        _raise()


def _raise() -> None:
    _State.pending, _State.raised = False, time.monotonic()
    raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block for every signal that means "stop".

    Ignored signals stay ignored (nohup).

    Does nothing outside the main thread, where signals cannot be handled, and inside another such block.
    """
    if _State.active or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _State.active, _State.shields, _State.pending, _State.raised = True, 0, False, float("-inf")
    try:
        for number, handler in before.items():
            if handler not in (signal.SIG_IGN, None):
                signal.signal(number, _handle)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        _State.active = False


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Hold back the signals of `interruptible()` while inside; they take effect at the end."""
    main = threading.current_thread() is threading.main_thread()
    _State.shields += main
    try:
        yield
    finally:
        _State.shields -= main
    if main and _State.pending and not _State.shields and _State.active:
        if time.monotonic() - _State.raised >= _PAUSE:
            _raise()
        _State.pending = False
