"""The list of models: its entries, installed or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import vsvfi
from vsvfi.engine import catalogue
from vsvfi.models.registry import model_names


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "installed", lambda sources: None)


@pytest.mark.usefixtures("nothing_installed")
def test_every_model_is_listed_with_its_facts() -> None:
    listed = {model.name: model for model in vsvfi.list_models()}
    assert list(listed) == model_names()
    model = listed["ifrnet_gopro"]
    assert (model.family, model.title, model.parameters, model.timesteps) == ("ifrnet", "IFRNet", 4_959_692, "any")
    assert (model.installed, model.path, model.size_bytes) == (False, None, 19_860_576)
    assert model.sources[0] == "hub:pavlichenko/ifrnet_gopro/IFRNet_GoPro.pth"
    assert model.licence.startswith("MIT")
    assert (listed["ifrnet"].timesteps, listed["ifrnet"].size_bytes) == ("half", None)


def test_an_installed_model_says_where_and_how_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(bytes(1234))
    monkeypatch.setattr(catalogue, "installed", lambda sources: file if "IFRNet_GoPro" in str(sources[0]) else None)
    found = [model for model in vsvfi.list_models() if model.installed]
    assert [(model.name, model.path, model.size_bytes) for model in found] == [("ifrnet_gopro", str(file), 1234)]


def test_listing_needs_no_torch() -> None:
    script = "import sys, vsvfi; vsvfi.list_models(); sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
