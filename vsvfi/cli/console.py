"""What commands write on stderr and into the file of `--log-file`: notes, progress, warnings, errors.

Verbosity: -1 (`-q`) errors only; 0 notes, progress and warnings; 1 (`-v`) also what is done and the programs that are
started; 2 (`-vv`) also what those programs print. A log file gets everything of level 2, with time and level, whatever
the verbosity. Colour is used on terminals alone, and never if NO_COLOR is set or TERM is "dumb".
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from vsvfi import __version__
from vsvfi.errors import ArgumentError

MARK = "# vsvfi log\n"
"""First line of a log file; nothing is appended to a file that begins otherwise."""

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
_STYLES = {"error": "1;31", "missing": "1;33"}

_file = logging.getLogger("vsvfi.cli.console")
"""Takes what stderr has already; its records go to the log file alone."""
_file.propagate = False
_file.setLevel(logging.DEBUG)
_file.addHandler(logging.NullHandler())


class _State:
    """Verbosity of the running command; a process runs one at a time."""

    verbosity = 0


class _Stderr(logging.Handler):
    """Print the texts of records on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        _print(record.getMessage())


@contextlib.contextmanager
def messages(verbosity: int, log_file: Path | None, command: Sequence[str]) -> Iterator[None]:
    """Set up messages for one command.

    Args:
        verbosity: -1 to 2.
        log_file: a file to append to.
        command: recorded in the log file.

    Raises:
        ArgumentError: the log file cannot be written, or it is a file of another kind.
    """
    logger = logging.getLogger("vsvfi")
    before, verbosity_before = logger.level, _State.verbosity
    _State.verbosity = max(-1, min(verbosity, 2))
    level = _LEVELS[_State.verbosity]
    handlers: list[tuple[logging.Logger, logging.Handler]] = [(logger, _Stderr(level))]
    if log_file is not None:
        opened = _open(log_file)
        handlers += [(logger, opened), (_file, opened)]
        level = logging.DEBUG
    for target, handler in handlers:
        target.addHandler(handler)
    try:
        logger.setLevel(level)
        _file.debug("vsvfi %s, Python %s, %s", __version__, platform.python_version(), platform.platform())
        _file.debug("command: %s", shlex.join(command))
        yield
    finally:
        _State.verbosity = verbosity_before
        logger.setLevel(before)
        for target, handler in handlers:
            target.removeHandler(handler)
            handler.close()


def say(line: str, end: str = "\n") -> None:
    """Print a note on stderr unless messages are off, ignoring errors; whole lines are logged too."""
    if _State.verbosity >= 0:
        _print(line, end)
    text = line.strip()
    if text and end == "\n" and not line.startswith("\r"):
        _file.info("%s", text)


def show(text: str) -> None:
    """Print text on stderr whatever the verbosity, ignoring errors."""
    _print(text)


def fail(text: str, error: BaseException | None = None) -> None:
    """Print an error on stderr, and log it with its traceback."""
    program, separator, reason = text.partition(": ")
    _print(f"{paint(program + separator, 'error', sys.stderr)}{reason}")
    _file.error("%s", text, exc_info=error)


def paint(text: str, style: str, stream: TextIO | None) -> str:
    """Return the text in a style's colour if the stream is a terminal that has colours."""
    if not has_colour(stream):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def has_colour(stream: TextIO | None) -> bool:
    """Return whether text on the stream may be coloured."""
    if stream is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _print(line: str, end: str = "\n") -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(line, end=end, file=sys.stderr, flush=True)


def _open(path: Path) -> logging.Handler:
    """Open a log file for appending."""
    try:
        with path.open("a+b") as file:
            file.seek(0)
            begin = file.read(len(MARK))
            if not begin:
                file.write(MARK.encode())
        if begin and begin != MARK.encode():
            raise ArgumentError("log-file", path, "exists and is no log of vsvfi", "give the name of a new file")
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        rule = f"cannot be written ({error.strerror})"
        raise ArgumentError("log-file", path, rule, "give a file in a folder that you may write to") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.DEBUG)
    return handler
