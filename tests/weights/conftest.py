"""Shared fixtures: a faulty server, and a user who may download from it into a private cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_hub import FakeHub, running
from vsvfi.weights import download, fetch


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("VSVFI_CACHE", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("VSVFI_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    for module in (fetch, download):
        monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))
    return folder
