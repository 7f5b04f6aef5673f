"""The policy is set for whoever set none, before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
{before}
from vsvfi.clip.waiting import let_waiting_threads_sleep
let_waiting_threads_sleep()
print(os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.parametrize(
    ("before", "policy"),
    [
        ("", "PASSIVE"),
        ("os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'", "ACTIVE"),
        ("os.environ['GOMP_SPINCOUNT'] = '5'", "None"),
        ("sys.modules['torch'] = None", "None"),
    ],
)
def test_the_policy_is_set_where_nobody_did(before: str, policy: str) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    }
    code = CODE.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    assert done.stdout.strip() == policy


def test_a_script_sets_it_before_torch_is_loaded() -> None:
    code = """
import importlib.abc, os, sys
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
sys.meta_path.insert(0, Watch())
os.dup2(1, 2)
import vapoursynth as vs, vsvfi
vsvfi.interpolate(vs.core.std.BlankClip(format=vs.YUV420P8, length=2), device="cpu")
"""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert "PASSIVE" in done.stdout
