"""Turn whatever a frame callback raises into one short `vapoursynth.Error` that names the frame and the cause.

VapourSynth reports an exception of a callback as its traceback, of which a synchronous `get_frame` keeps 4,095 bytes.
So the message stays short, and the traceback has a single entry.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Concatenate

import vapoursynth as vs

from vsvfi.errors import FrameError, VsvfiError
from vsvfi.topics import reference, with_help

_LONGEST = 600
"""Characters of a cause that are kept: with a traceback of our own they stay below 4,095 bytes in any script."""

_OURS = "interpolate: "

_log = logging.getLogger("vsvfi")


def essential(error: BaseException) -> str:
    """Summarise an error in one line: the exception line of a traceback, else the first line of the text."""
    text = _shown(error)
    lines = [line for line in text.splitlines() if line.strip()]
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        # What was raised follows the last indented line, unless the text was cut off before it.
        last_indented = max((index for index, line in enumerate(lines) if line.startswith(" ")), default=-1)
        lines = lines[last_indented + 1 :] or lines[-1:]
    line = lines[0].strip().removeprefix("vapoursynth.Error: ") if lines else ""
    if not isinstance(error, RuntimeError | VsvfiError | vs.Error) or not line:
        line = f"{type(error).__name__}: {line}" if line else type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def frame_error(n: int, error: Exception, noun: str = "frame") -> vs.Error:
    """The error to raise for output frame n (or source frame n, with another noun)."""
    if isinstance(error, FrameError):
        return vs.Error(f"{_OURS}{with_help(_shortened(str(error)), error)}")
    cause = essential(error)
    if isinstance(error, vs.Error) and cause.startswith(_OURS):
        return vs.Error(cause)
    return vs.Error(f"{_OURS}{noun} {n}: {cause} ({reference('frames')})")


def reporting[**P, T](callback: Callable[Concatenate[int, P], T], noun: str = "frame") -> Callable[..., T]:
    """Wrap `callback(n, ...)` so that every exception becomes an error that names frame n and the cause.

    Args:
        callback: for FrameEval or ModifyFrame.
        noun: what n counts; "source frame" where the node is not aligned to the output.
    """

    @functools.wraps(callback)
    def wrapped(n: int, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return callback(n, *args, **kwargs)
        except Exception as error:  # any type: out of memory, bugs, errors of torch or VapourSynth
            _log.debug("%s %d failed", noun, n, exc_info=error)
            report = frame_error(n, error, noun)
        try:
            raise report from None
        finally:
            del report  # its traceback would keep this frame and all arguments alive

    return wrapped


def _shortened(text: str) -> str:
    """Truncate a message that may quote a long text."""
    return text if len(text) <= 2 * _LONGEST else f"{text[: 2 * _LONGEST - 3]}..."


def _shown(error: BaseException) -> str:
    """The text of an exception; empty if `str` fails."""
    try:
        return str(error)
    except Exception:
        return ""
