"""Keep torch's threads from spinning while they wait."""

from __future__ import annotations

import os
import sys

_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def let_waiting_threads_sleep() -> None:
    """Set OMP_WAIT_POLICY=PASSIVE, unless torch is already loaded or a wait policy is set.

    OpenMP threads spin while they wait for each other. On a busy machine (an encoder, a second script) they then occupy
    cores that other threads need, and a clip can seem to hang. The libraries read the variable when they are loaded.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in _VARIABLES):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
