"""Forward the library's log records to VapourSynth's log, which editors and vspipe show."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import vapoursynth as vs

_LEVELS = (
    (logging.ERROR, vs.MESSAGE_TYPE_CRITICAL),
    (logging.WARNING, vs.MESSAGE_TYPE_WARNING),
    (0, vs.MESSAGE_TYPE_INFORMATION),
)


class _ToCore(logging.Handler):
    """Write each record to VapourSynth's log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next(core_level for threshold, core_level in _LEVELS if record.levelno >= threshold)
        vs.core.log_message(level, f"interpolate: {record.getMessage()}")


@contextlib.contextmanager
def library_log_to_core() -> Iterator[None]:
    """While active, forward the library's warnings to VapourSynth's log, besides any handlers already configured."""
    logger, handler = logging.getLogger("vsvfi"), _ToCore(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def inform(text: str) -> None:
    """Log an information message to VapourSynth's log."""
    vs.core.log_message(vs.MESSAGE_TYPE_INFORMATION, f"interpolate: {text}")


def once(level: vs.MessageType) -> Callable[[str], None]:
    """Return a function that logs its first message and drops all later ones."""
    core, logged = vs.core.core, False

    def log(text: str) -> None:
        nonlocal logged
        if not logged:
            logged = True
            core.log_message(level, f"interpolate: {text}")

    return log
