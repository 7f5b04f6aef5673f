"""Run as a program by test_lifetime: an editor that loads and unloads a script again and again in one process.

Prints one JSON line: per reload the resident memory in MiB, the threads alive, and whether the session was closed.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import vapoursynth as vs

RELOADS = int(sys.argv[1])
KEEP = sys.argv[2] == "keep"


class EditorPolicy(vs.EnvironmentPolicy):
    """What an editor registers: one environment at a time."""

    def __init__(self) -> None:
        self.api: vs.EnvironmentPolicyAPI | None = None
        self.current: vs.EnvironmentData | None = None

    def on_policy_registered(self, special_api: vs.EnvironmentPolicyAPI) -> None:
        self.api = special_api

    def on_policy_cleared(self) -> None:
        self.current = None

    def get_current_environment(self) -> vs.EnvironmentData | None:
        return self.current

    def set_environment(self, environment: vs.EnvironmentData | None) -> vs.EnvironmentData | None:
        before, self.current = self.current, environment
        return before

    def is_alive(self, environment: vs.EnvironmentData) -> bool:
        return True


def resident() -> float:
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index("VmRSS:") + 1]) / 1024


def threads(but: str | None = None) -> int:
    """Threads alive, without those of a name."""
    return sum(thread.name != but for thread in threading.enumerate())


def main() -> None:
    policy = EditorPolicy()
    vs.register_policy(policy)
    assert policy.api is not None

    from vsvfi.clip import lifetime, stalls

    sessions: list[weakref.ref[object]] = []
    open_states: list[bool] = []
    remember = lifetime.close_with_environment

    def watched(session: object) -> None:
        sessions.append(weakref.ref(session))
        strong.append(session)
        remember(session)  # type: ignore[arg-type]

    strong: list[Any] = []
    import vsvfi.clip.graph as graph

    graph.close_with_environment = watched
    import vsvfi

    report = []
    kept: list[object] = []
    for _ in range(RELOADS):
        environment = policy.api.create_environment()
        policy.current = environment
        core = vs.core.core
        clip = core.std.BlankClip(format=vs.YUV420P8, width=96, height=64, length=6, fpsnum=24)
        clip = core.std.Splice([clip, clip.std.Invert()])
        out = vsvfi.interpolate(clip, model="builtin", scene="off", duplicates="off", device="cpu")
        for n in (11, 3, 12, 13):
            out.get_frame(n).close()
        if KEEP:
            kept.append(out)  # a careless host keeps the node
        del clip, out, core
        gc.collect()
        policy.api.destroy_environment(environment)
        policy.current = None
        open_states.append(bool(strong[-1]._open))
        strong.clear()
        gc.collect()
        report.append({"resident": resident(), "threads": threads(but=stalls.THREAD), "open": open_states[-1]})
    until = time.monotonic() + 10
    while threads() > 1 and time.monotonic() < until:
        time.sleep(0.1)
    alive = sum(reference() is not None for reference in sessions)
    print(json.dumps({"reloads": report, "sessions_alive": alive, "threads_left": threads()}))


main()
