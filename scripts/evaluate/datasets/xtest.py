"""X4K1000FPS test set (X-TEST): 8x, and VFIMamba's X-TEST-L with the middle frame alone; each at 2K and at 4K."""

from __future__ import annotations

from fractions import Fraction

from scripts.evaluate.datasets.folders import find_folder, folders, images
from scripts.evaluate.datasets.item import Item, Request, Split, Target, View

VIEWS = {"2k": View(reduce="float"), "4k": View()}

_STEP = 32
_SCENES = 15


def xtest(request: Request) -> list[Split]:
    """Every fourth frame between frames 0 and 32 of a scene."""
    return _splits(request, tuple(range(4, _STEP, 4)))


def xtest_l(request: Request) -> list[Split]:
    """Frame 16 between frames 0 and 32."""
    return _splits(request, (16,))


def _splits(request: Request, offsets: tuple[int, ...]) -> list[Split]:
    root = find_folder(request.root, ("test",))
    items, notes = [], []
    for kind in folders(root):
        for scene in folders(kind):
            frames = images(scene, (".png",))
            name = f"{kind.name}/{scene.name}"
            if len(frames) <= _STEP:
                notes.append(f"{name} has {len(frames)} frames and is left out: {_STEP + 1} are needed")
            for begin in range(0, len(frames) - _STEP, _STEP):
                targets = tuple(
                    Target(
                        Fraction(offset, _STEP),
                        (frames[begin + offset],),
                        f"{kind.name}_{scene.name}_{frames[begin + offset].stem}",
                    )
                    for offset in offsets
                )
                items.append(Item(f"{name}/{begin}", (frames[begin], frames[begin + _STEP]), targets))
    expected = _SCENES * len(offsets)
    return [
        Split(
            name,
            tuple(Item(item.name, item.inputs, item.targets, VIEWS[name]) for item in items),
            expected,
            ((4096, 2160),),
            tuple(notes),
        )
        for name in request.splits or tuple(VIEWS)
    ]
