"""Xiph: eight Netflix clips, every second frame; "2k" halves the images, "4k" takes their middle."""

from __future__ import annotations

from fractions import Fraction

from scripts.evaluate.datasets.folders import find_folder
from scripts.evaluate.datasets.item import Item, Request, Split, Target, View

CLIPS = (
    "BoxingPractice",
    "Crosswalk",
    "DrivingPOV",
    "FoodMarket",
    "FoodMarket2",
    "RitualDance",
    "SquareAndTimelapse",
    "Tango",
)
VIEWS = {"2k": View(reduce="bytes"), "4k": View(crop="half")}

_LAST = 98


def xiph(request: Request) -> list[Split]:
    """Frames 2, 4, .. 98 of every clip from their neighbours."""
    root = find_folder(request.root, ())
    splits = []
    for name in request.splits or tuple(VIEWS):
        items = []
        for clip in CLIPS:
            for k in range(2, _LAST + 1, 2):
                before, truth, after = (root / f"{clip}-{number:03d}.png" for number in (k - 1, k, k + 1))
                target = Target(Fraction(1, 2), (truth,), truth.stem)
                items.append(Item(truth.stem, (before, after), (target,), VIEWS[name], clip))
        splits.append(Split(name, tuple(items), len(CLIPS) * _LAST // 2, ((4096, 2160),)))
    return splits
