"""The folder in which vsvfi keeps what can be made again: downloads, records, compiled kernels."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vsvfi.errors import ArgumentError
from vsvfi.packages import one_line


def cache_directory() -> Path:
    """VSVFI_CACHE, or else the platform's cache folder of this user. It need not exist.

    Raises:
        ArgumentError: it depends on a home folder that cannot be found.
    """
    chosen = os.environ.get("VSVFI_CACHE")
    try:
        return Path(chosen).expanduser().absolute() if chosen else _platform_cache()
    except (RuntimeError, OSError) as error:  # no such user; a user without a home; a working folder that is gone
        raise ArgumentError(
            "VSVFI_CACHE", chosen, f"does not name a usable folder ({one_line(error)})", "set it to an absolute path"
        ) from error


def _platform_cache() -> Path:
    """The cache folder of this user by the platform's convention."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "vsvfi" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "vsvfi"
    shared = Path(os.environ.get("XDG_CACHE_HOME") or ".")
    return (shared if shared.is_absolute() else Path.home() / ".cache") / "vsvfi"
