"""What the check of packages finds; the gate runs it on the real ones (`scripts/check`)."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from scripts import packages


@pytest.mark.parametrize(
    ("left_out", "added", "message"),
    [
        (None, None, None),
        ("vsvfi/py.typed", None, "lacks vsvfi/py.typed"),
        (None, "tests/test_cli.py", r"holds tests/test_cli.py, which do not belong there"),
    ],
)
def test_archives_hold_the_package_and_nothing_else(
    left_out: str | None, added: str | None, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "tracked", lambda: {"vsvfi/__init__.py", "vsvfi/py.typed"})
    names = [name for name in ("vsvfi/__init__.py", "vsvfi/py.typed", added) if name and name != left_out]
    with zipfile.ZipFile(tmp_path / "vsvfi-1-py3-none-any.whl", "w") as wheel:
        for name in [*names, "vsvfi-1.dist-info/METADATA", "vsvfi-1.data/data/share/man/man1/vsvfi.1"]:
            wheel.writestr(name, "")
    with tarfile.open(tmp_path / "vsvfi-1.tar.gz", "w") as source:
        for name in ["vsvfi/__init__.py", "vsvfi/py.typed", "man/vsvfi.1", "PKG-INFO", "LICENSE"]:
            source.addfile(tarfile.TarInfo(f"vsvfi-1/{name}"), io.BytesIO())
    paths = tmp_path / "vsvfi-1-py3-none-any.whl", tmp_path / "vsvfi-1.tar.gz"
    if message is None:
        packages.check_archives(*paths)
    else:
        with pytest.raises(packages.PackageError, match=message):
            packages.check_archives(*paths)


def test_every_extra_is_resolved_somewhere() -> None:
    import tomllib

    project = tomllib.loads((packages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    resolved = {extra for groups in packages.RESOLVED.values() for extras in groups for extra in extras.split(",")}
    # CuPy's two extras exclude each other; the others have no wheels
    assert set(project["optional-dependencies"]) - resolved == {"cuda12", "mamba", "fid"}
