"""Folders of stored images: each belongs to one run, so that no run overwrites another's images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from scripts.evaluate.datasets import Item
from vsvfi.errors import ArgumentError


def stored_files(item: Item, folders: Sequence[Path | None]) -> list[Path]:
    """Return the paths of an item's images."""
    return [folder / f"{target.name}.png" for folder in folders if folder for target in item.targets]


def claim(folder: Path, run: str, argument: str) -> None:
    """Create or reuse a folder for the images of a run, which is named in a file beside it.

    Raises:
        ArgumentError: it holds another run's images or other files, or cannot be created.
    """
    mark = folder.with_name(f"{folder.name}.run")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists() and not any(folder.iterdir()):
            mark.write_text(run, encoding="utf-8")
        owner = mark.read_text(encoding="utf-8") if mark.exists() else ""
    except OSError as error:
        rule = f"cannot be used ({error.strerror})"
        raise ArgumentError(argument, str(folder), rule, "pass a folder that can be written to") from error
    if owner != run:
        rule = "holds images of another run" if owner else "is not empty"
        raise ArgumentError(argument, str(folder), rule, "pass another folder, or remove it")


def listing(folder: Path) -> str:
    """Return a digest of a folder's files by name, size and time, to detect changes."""
    found = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.glob("*"))]
    return hashlib.sha256(repr(found).encode()).hexdigest()
