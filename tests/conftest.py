"""Shared fixtures: the folder of reference data beside the repository, the fake family, generated clips."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import fakes, reference_data

# No test reaches out by accident; those of downloads talk to a local server.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["VSVFI_CONFIG"] = os.devnull  # nor do the settings of whoever runs them
# torch is not loaded yet; threads that spin while they wait make a busy machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and so would its children

reference_data.check()

settings.register_profile("vsvfi", deadline=None)  # no test times anything
settings.load_profile("vsvfi")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of goldens and clips beside the repository."""
    if not reference_data.GOLDENS.is_dir():
        pytest.skip(reference_data.REASON)
    return reference_data.FOLDER


@pytest.fixture
def fake_family(tmp_path: Path) -> Iterator[fakes.Recorder]:
    """Install the family `fake` as a user would: one folder on the path of `vsvfi.models`.

    Yields the record of its calls.
    """
    with fakes.installed(tmp_path / "families") as recorder:
        yield recorder
