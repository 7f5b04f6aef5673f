"""Reloading a script over and over in one process: threads, caches and memory go with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("host", ["drop", "keep"])
def test_reloading_does_not_grow(host: str) -> None:
    """An editor that lets go of the nodes, and one that keeps them."""
    probe = Path(__file__).with_name("reload_probe.py")
    done = subprocess.run(
        [sys.executable, str(probe), "12", host], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout)
    reloads = report["reloads"]
    assert len(reloads) == 12
    assert not any(state["open"] for state in reloads)
    assert {state["threads"] for state in reloads} == {1}
    assert report["sessions_alive"] == 0
    assert report["threads_left"] == 1
    early, late = (min(state["resident"] for state in part) for part in (reloads[4:7], reloads[9:]))
    assert late - early < 20, reloads
