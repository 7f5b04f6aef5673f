"""Run a program for a short answer, such as ffmpeg for its encoders."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from vsvfi.errors import VsvfiError

_TRIES = 2
_ENDED = (-9, -15)
"""Exit codes of POSIX processes that another one has ended (SIGKILL, SIGTERM)."""


def program_output(command: Sequence[str]) -> bytes:
    """Return what a program prints, whether it succeeds or not.

    A program that was killed has not answered. Taking that for an empty answer would select another ffmpeg, encoder
    or pixel format; it is run again instead.

    Raises:
        VsvfiError: it was killed again.
        OSError: it cannot be started.
    """
    for _ in range(_TRIES):
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode not in _ENDED:
            return done.stdout
    raise VsvfiError(f"{Path(command[0]).name} was killed by another program; run the same command again")
