"""Weights and a cache of graphs that the tests of ONNX share, since writing a graph takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsvfi.cli.bench import write_random_weights


@pytest.fixture(scope="session")
def ifrnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "ifrnet_s.safetensors"
    write_random_weights("ifrnet_s", path)
    return path


@pytest.fixture(scope="session")
def graph_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def graphs(graph_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, with the graphs of earlier tests."""
    monkeypatch.setenv("VSVFI_CACHE", str(graph_folder))
    return graph_folder / "onnx"
