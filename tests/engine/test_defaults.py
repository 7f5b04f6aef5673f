"""Frames are the same bits whatever other code of the process has set in torch, before or after a network was built."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def made(change: str) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.engine.defaults_probe", change]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("change", ["float16", "float64", "meta", "autocast", "flags", "late"])
def test_frames_are_those_of_an_untouched_torch(change: str) -> None:
    assert made(change) == made("nothing")
