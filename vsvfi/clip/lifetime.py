"""Close sessions when the core is destroyed or a script is reloaded, to release memory and threads.

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
    """Close `session` when the current VapourSynth environment is destroyed.

    Holds a weak reference, so a session whose nodes are freed earlier is not kept alive.
    """
    reference = weakref.ref(session)

    def close(reference: weakref.ref[Session] = reference) -> None:
        alive = reference()
        if alive is not None:
            alive.close()

    vs.register_on_destroy(close)
