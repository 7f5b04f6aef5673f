"""Frames are bitwise equal under any torch settings of other code, made before or after a network was built."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def made(*changes: str) -> dict[str, dict[str, str]]:
    """Return the bits under each change, computed in one separate process.

    A crash then does not end the tests.
    """
    command = [sys.executable, "-m", "tests.engine.defaults_probe", *changes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        ("float64", "late"),
        pytest.param(("meta", "float16", "bfloat16", "autocast", "flags"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_frames_are_those_of_an_untouched_torch(changes: tuple[str, ...]) -> None:
    # The changes come first: nothing is remembered from a process that had not been changed yet.
    found = made(*changes)
    (expected,) = made("nothing").values()
    for change, frames in found.items():
        assert frames == {name: expected[name] for name in frames}, change
    assert all({"builtin", "plugin"} <= frames.keys() for frames in found.values())
