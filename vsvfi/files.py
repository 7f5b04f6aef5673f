"""Replace files by finished ones, on every operating system."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PATIENCE = 2.0
"""Seconds for another process to close a file."""


def replace(source: Path, target: Path) -> None:
    """Give a file another one's name, which it replaces at once.

    Windows refuses that while any process has the target open, if only to read it or to scan it for viruses; there it
    is tried again for two seconds.

    Raises:
        OSError: it cannot be replaced.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if os.name != "nt" or time.monotonic() >= until:
                raise
        time.sleep(0.05)
