"""Vimeo90K: triplets (2x) and septuplets (6x)."""

from __future__ import annotations

from fractions import Fraction

from scripts.evaluate.datasets.folders import entries, find_folder, find_list
from scripts.evaluate.datasets.item import Item, Request, Split, Target


def triplets(request: Request) -> list[Split]:
    """Clips of `tri_testlist.txt`: the middle image of three."""
    return [_split(request, "tri_testlist.txt", ("vimeo_triplet",), last=3, expected=3782)]


def septuplets(request: Request) -> list[Split]:
    """Clips of `sep_testlist.txt`: five images between the first and the seventh. No published protocol."""
    return [_split(request, "sep_testlist.txt", ("vimeo_septuplet",), last=7, expected=5 * 7824)]


def _split(request: Request, name: str, candidates: tuple[str, ...], last: int, expected: int) -> Split:
    root = find_folder(request.root, candidates)
    items = []
    for entry in entries(find_list(root, name)):
        folder = root / "sequences" / entry
        targets = tuple(
            Target(Fraction(k - 1, last - 1), (folder / f"im{k}.png",), f"{entry}_im{k}".replace("/", "_"))
            for k in range(2, last)
        )
        items.append(Item(entry, (folder / "im1.png", folder / f"im{last}.png"), targets))
    return Split("all", tuple(items), expected, ((448, 256),))
