"""Refuse VapourSynth releases that are too old."""

from __future__ import annotations

import vapoursynth as vs

from vsvfi.errors import UnsupportedVersionError

MINIMUM = 78
"""The first supported release; pyproject.toml declares the same."""


def check_version() -> None:
    """Check the release of the core that this process runs.

    Raises:
        UnsupportedVersionError: it is older than `MINIMUM`.
    """
    found = _release()
    if found is not None and found < MINIMUM:
        raise UnsupportedVersionError(
            "VapourSynth", f"R{found}", f"R{MINIMUM}", f"pip install -U 'vapoursynth>={MINIMUM}'"
        )


def _release() -> int | None:
    """The release number of the core, or None if unknown."""
    release = getattr(getattr(vs.core, "core_version", None), "release_major", None)
    return release if isinstance(release, int) else None
