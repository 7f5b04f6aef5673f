"""VTF and VSF: flow from flow over the Vimeo90K test sets, as GIMM is measured alone."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from scripts.evaluate.datasets.folders import entries, find_folder, find_list
from scripts.evaluate.datasets.item import Item, Request, Split, Target

FLOWS = "flow_sequences"


def vtf(request: Request) -> list[Split]:
    """Triplets: the flows of the middle frame."""
    return [_split(request, "tri_testlist.txt", "vimeo_triplet", 3, 3782)]


def vsf(request: Request) -> list[Split]:
    """Septuplets: the flows of frames 2 to 6."""
    return [_split(request, "sep_testlist.txt", "vimeo_septuplet", 7, 5 * 7824)]


def flow_name(source: int, target: int) -> str:
    """What the flow between two frames of a clip is called."""
    return f"im{source}_im{target}.flo"


def _split(request: Request, name: str, home: str, last: int, expected: int) -> Split:
    root = find_folder(request.root, (home,))
    found = find_list(root, name)
    drop = not request.settings.get("keep_last")
    wanted, every = entries(found, drop_last=drop), entries(found)
    notes = () if wanted == every else (f"{every[-1]} is left out as published: the last line (--keep-last keeps it)",)
    return Split("all", tuple(_item(root, entry, last) for entry in wanted), expected, ((448, 256),), notes)


def _item(root: Path, entry: str, last: int) -> Item:
    folder = root / FLOWS / entry
    targets = tuple(
        Target(
            Fraction(k - 1, last - 1),
            (folder / flow_name(k, last), folder / flow_name(k, 1)),
            f"{entry}_im{k}".replace("/", "_"),
        )
        for k in range(2, last)
    )
    return Item(entry, (folder / flow_name(1, last), folder / flow_name(last, 1)), targets)
