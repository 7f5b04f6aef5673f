"""UCF101, in the two selections that bear its name: 379 triplets of the DVF paper, 100 of the QVI paper."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from scripts.evaluate.datasets.folders import find_folder, folders
from scripts.evaluate.datasets.item import Item, Request, Split, Target
from vsvfi.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class _Kind:
    roots: tuple[str, ...]
    first: str
    truth: str
    second: str
    expected: int
    sizes: tuple[tuple[int, int], ...]


_KINDS = {
    "dvf": _Kind(("ucf101_interp_ours", "ucf"), "frame_00.png", "frame_01_gt.png", "frame_02.png", 379, ((256, 256),)),
    "qvi": _Kind(("ucf101",), "frame1.png", "framet.png", "frame2.png", 100, ()),
}


def ucf101(request: Request) -> list[Split]:
    """One split for each kind that is asked for; without a wish, for each kind that is there."""
    wanted = request.splits or tuple(name for name in _KINDS if _samples(request.root, _KINDS[name]))
    if not wanted:
        layouts = " or ".join(f"{kind.first}, {kind.truth}, {kind.second}" for kind in _KINDS.values())
        raise ArgumentError(
            "data", str(request.root), f"holds no folders with {layouts}", "give the folder of the unpacked set"
        )
    return [_split(name, _KINDS[name], request.root) for name in wanted]


def _samples(root: Path, kind: _Kind) -> list[Path]:
    """Folders of samples: those with any of the kind's files."""
    home = find_folder(root, kind.roots)
    names = kind.first, kind.truth, kind.second
    return [folder for folder in folders(home) if any((folder / name).is_file() for name in names)]


def _split(name: str, kind: _Kind, root: Path) -> Split:
    items = tuple(
        Item(
            folder.name,
            (folder / kind.first, folder / kind.second),
            (Target(Fraction(1, 2), (folder / kind.truth,), folder.name),),
        )
        for folder in _samples(root, kind)
    )
    return Split(name, items, kind.expected, kind.sizes)
