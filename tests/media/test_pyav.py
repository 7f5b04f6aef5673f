"""PyAV is needed only when a container is read; the error for its absence names the remedy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vsvfi.errors import VsvfiError
from vsvfi.media.pyav import pyav


def test_its_absence_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VsvfiError, match=r"PyAV, which reads video containers, cannot be imported .*; pip install av"):
        pyav()


def test_it_is_imported_late() -> None:
    code = "import sys, vsvfi.cli.render, vsvfi.media.verify, vsvfi.media.losses; print('av' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
        ).stdout.strip()
        == "False"
    )
