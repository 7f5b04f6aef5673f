"""Compiled kernels on disk: whole or not at all, and never required."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from vsvfi.ops.binaries import BinaryCache


class Maker:
    """Makes a binary, and counts."""

    def __init__(self, binary: bytes = b"code") -> None:
        self.binary, self.made = binary, 0

    def __call__(self) -> bytes:
        self.made += 1
        return self.binary


def test_a_binary_is_made_once_for_all_processes(tmp_path: Path) -> None:
    make = Maker()
    for _ in range(3):
        assert BinaryCache(tmp_path / "kernels").get(("source", "sm_86"), make) == b"code"
    assert make.made == 1
    assert [path.suffix for path in (tmp_path / "kernels").iterdir()] == [".bin"]


def test_every_fact_counts(tmp_path: Path) -> None:
    cache, make = BinaryCache(tmp_path), Maker()
    for facts in (
        ("source", "-DX", "sm_86", "13.0"),
        ("other", "-DX", "sm_86", "13.0"),
        ("source", "-DY", "sm_86", "13.0"),
    ):
        cache.get(facts, make)
    for facts in (
        ("source", "-DX", "sm_90", "13.0"),
        ("source", "-DX", "sm_86", "13.1"),
        ("source-DX", "", "sm_86", "13.0"),
    ):
        cache.get(facts, make)
    assert make.made == 6


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1] + b"?",
    ],
)
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    cache, make = BinaryCache(tmp_path), Maker()
    cache.get(("source",), make)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert cache.get(("source",), make) == b"code"
    assert make.made == 2
    assert path.read_bytes() == whole


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise RuntimeError("no compiler")

    with pytest.raises(RuntimeError, match="no compiler"):
        BinaryCache(tmp_path).get(("source",), fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    make = Maker()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            assert BinaryCache(tmp_path / "file" / "kernels").get(("source",), make) == b"code"
    assert make.made == 2
    assert "cannot be stored" in caplog.text


@pytest.mark.skipif(
    sys.platform == "win32" or getattr(os, "geteuid", lambda: 1)() == 0, reason="permissions do not bind this user"
)
def test_a_read_only_folder_is_no_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert BinaryCache(tmp_path).get(("source",), Maker()) == b"code"
    finally:
        tmp_path.chmod(0o700)


def test_a_write_that_fails_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert BinaryCache(tmp_path).get(("source",), Maker()) == b"code"
    assert list(tmp_path.iterdir()) == []
