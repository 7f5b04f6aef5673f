"""Closes sessions when the core dies or a script is reloaded: memory of the device, caches and threads go with the
script that made them.

`atexit` never runs in vspipe, and the script's globals are gone when the callback runs: everything it needs is bound
here.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import vapoursynth as vs

if TYPE_CHECKING:
    from vsvfi.engine.session import Session


def close_with_environment(session: Session) -> None:
    """Close `session` when the current VapourSynth environment is destroyed; a session whose nodes are gone earlier is
    not kept alive for it.
    """
    reference = weakref.ref(session)

    def close(reference: weakref.ref[Session] = reference) -> None:
        alive = reference()
        if alive is not None:
            alive.close()

    vs.register_on_destroy(close)
