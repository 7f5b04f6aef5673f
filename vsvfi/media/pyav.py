"""Import PyAV on demand, for the timestamps of containers."""

from __future__ import annotations

from types import ModuleType

from vsvfi.errors import VsvfiError
from vsvfi.packages import load


def pyav() -> ModuleType:
    """Return the module `av`.

    Raises:
        VsvfiError: it is not installed, or its libraries do not load.
    """
    av = load("av")
    if isinstance(av, str):
        raise VsvfiError(f"PyAV, which reads video containers, cannot be imported ({av}); pip install av")
    return av
