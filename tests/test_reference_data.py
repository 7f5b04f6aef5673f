"""Where reference data are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import reference_data


def test_a_named_folder_must_hold_reference_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSVFI_GOLDENS", str(tmp_path))
    monkeypatch.setattr(reference_data, "GOLDENS", tmp_path / "goldens")
    with pytest.raises(ValueError, match="must be a folder that holds 'goldens'"):
        reference_data.check()
    (tmp_path / "goldens").mkdir()
    reference_data.check()
