"""Middlebury "Other": twelve pairs with a true middle frame, in the layouts of IFRNet and of LDMVFI."""

from __future__ import annotations

from fractions import Fraction

from scripts.evaluate.datasets.folders import find_folder
from scripts.evaluate.datasets.item import Item, Request, Split, Target

SEQUENCES = (
    "Beanbags",
    "Dimetrodon",
    "DogDance",
    "Grove2",
    "Grove3",
    "Hydrangea",
    "MiniCooper",
    "RubberWhale",
    "Urban2",
    "Urban3",
    "Venus",
    "Walking",
)
_SIZES = ((640, 480), (584, 388), (420, 380))


def middlebury(request: Request) -> list[Split]:
    """`frame10i11.png` between `frame10.png` and `frame11.png` of every sequence."""
    root = find_folder(request.root, ("middlebury_others",))
    inputs, truths = (
        find_folder(root, (names[0], names[1])) for names in (("other-data", "input"), ("other-gt-interp", "gt"))
    )
    items = tuple(
        Item(
            name,
            (inputs / name / "frame10.png", inputs / name / "frame11.png"),
            (Target(Fraction(1, 2), (truths / name / "frame10i11.png",), name),),
        )
        for name in SEQUENCES
    )
    return [Split("all", items, len(SEQUENCES), _SIZES)]
