"""Find list files, listed paths and numbered images under the folder that a user names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from vsvfi.errors import ArgumentError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


def find_folder(root: Path, candidates: Sequence[str]) -> Path:
    """The first of these folders under the root that exists, or the root itself.

    Raises:
        ArgumentError: the root is no folder.
    """
    if not root.is_dir():
        raise ArgumentError("data", str(root), "must be the folder of the data set", "check the path")
    return next((root / name for name in candidates if (root / name).is_dir()), root)


def find_list(root: Path, name: str, places: Sequence[str] = ("",)) -> Path:
    """A list file in the root or one of its usual places.

    Raises:
        ArgumentError: it is in none of them.
    """
    for place in places:
        if (root / place / name).is_file():
            return root / place / name
    where = ", ".join(str(PurePosixPath(place) / name) for place in places)
    raise ArgumentError("data", str(root), f"has no list file {where}", "give the folder that holds the published list")


def entries(path: Path, *, drop_last: bool = False) -> list[str]:
    """Read the lines of a list file without blank ones.

    With `drop_last` the last line is not read at all, as published.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [line.strip() for line in (lines[:-1] if drop_last else lines) if line.strip()]


def locate(root: Path, listed: str) -> Path:
    """Find a listed path under the root, without some of its leading folders if necessary.

    The published lists contain folders of the authors' machines. If nothing exists, the path is returned as listed.
    """
    parts = PurePosixPath(listed.replace("\\", "/").lstrip("/")).parts
    for skipped in range(len(parts)):
        candidate = root.joinpath(*parts[skipped:])
        if candidate.is_file():
            return candidate
    return root.joinpath(*parts)


def folders(root: Path) -> list[Path]:
    """The folders inside, by name; numbers by value."""
    return sorted((path for path in root.iterdir() if path.is_dir()), key=_order)


def images(folder: Path, suffixes: Iterable[str] = IMAGES) -> list[Path]:
    """The images inside, by name."""
    allowed = tuple(suffixes)
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in allowed and path.is_file())


def _order(path: Path) -> tuple[int, int, str]:
    number = path.name.isdecimal()
    return (0, int(path.name), path.name) if number else (1, 0, path.name)
