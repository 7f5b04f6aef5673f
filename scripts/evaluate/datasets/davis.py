"""DAVIS and VFITex as LDMVFI takes them: triplets with room for methods of four inputs, averaged by sequence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from scripts.evaluate.datasets.folders import find_folder, folders, images
from scripts.evaluate.datasets.item import Item, Request, Split, Target, View


def davis(request: Request) -> list[Split]:
    """Frames 3, 5, .. of every sequence, counted from 0."""
    sequences = folders(find_folder(request.root, ("davis90",)))
    items = [item for sequence in sequences for item in _items(sequence, ".jpg", 5, 0)]
    notes = () if len(sequences) == 90 else (f"{len(sequences)} sequences are here, the published set has 90",)
    return [Split("all", tuple(items), None, (), notes)]


def vfitex(request: Request) -> list[Split]:
    """Frames 4, 6, .. of every sequence, counted from 1; the middle of those whose folder says "4K"."""
    items = [
        item for sequence in folders(find_folder(request.root, ("vfitex",))) for item in _items(sequence, ".png", 3, 1)
    ]
    return [Split("all", tuple(items))]


def _items(sequence: Path, suffix: str, digits: int, origin: int) -> list[Item]:
    count = len(images(sequence, (suffix,)))
    view = View(crop="half") if origin and "4K" in sequence.name else View()
    items = []
    for begin in range(origin, count - 6 + origin, 2):
        first, truth, second = (sequence / f"{begin + offset:0{digits}d}{suffix}" for offset in (2, 3, 4))
        target = Target(Fraction(1, 2), (truth,), f"{sequence.name}_{truth.stem}")
        items.append(Item(f"{sequence.name}/{truth.stem}", (first, second), (target,), view, sequence.name))
    return items
