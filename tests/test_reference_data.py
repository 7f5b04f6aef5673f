"""Where reference data are looked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import reference_data


@pytest.fixture
def patched() -> Iterator[pytest.MonkeyPatch]:
    """Changes to the environment; the module is read again after them."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch
    importlib.reload(reference_data)


@pytest.mark.parametrize("named", ["", "goldens"], ids=["folder above", "folder itself"])
def test_a_named_folder_must_hold_reference_data(tmp_path: Path, patched: pytest.MonkeyPatch, named: str) -> None:
    patched.setenv("VSVFI_GOLDENS", str(tmp_path / named))
    patched.delenv("VSVFI_GOLDENS_METRICS", raising=False)
    importlib.reload(reference_data)
    with pytest.raises(ValueError, match="must be a folder that holds 'goldens'"):
        reference_data.check()
    (tmp_path / "goldens").mkdir()
    reference_data.check()
    assert tmp_path == reference_data.FOLDER
    assert reference_data.of("metrics") == tmp_path / "goldens" / "metrics"


@pytest.mark.parametrize("kind", ["metrics", "training"])
def test_one_kind_may_lie_elsewhere(tmp_path: Path, patched: pytest.MonkeyPatch, kind: str) -> None:
    patched.delenv("VSVFI_GOLDENS", raising=False)
    patched.setenv(f"VSVFI_GOLDENS_{kind.upper()}", str(tmp_path))
    with pytest.raises(ValueError, match=r"must be a folder that holds 'cases.json'"):
        reference_data.check()
    (tmp_path / "cases.json").touch()
    reference_data.check()
    assert reference_data.of(kind) == tmp_path
