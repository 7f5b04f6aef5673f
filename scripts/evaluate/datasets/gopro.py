"""8x on videos of 240 frames a second: GoPro's test videos and Adobe240, as IFRNet's training program validates."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from scripts.evaluate.datasets.folders import find_folder, folders, images
from scripts.evaluate.datasets.item import Item, Request, Split, Target, View

GOPRO_TEST = tuple(
    f"GOPR{name}"
    for name in (
        "0384_11_00",
        "0384_11_05",
        "0385_11_01",
        "0396_11_00",
        "0410_11_00",
        "0854_11_00",
        "0862_11_00",
        "0868_11_00",
        "0869_11_00",
        "0871_11_00",
        "0881_11_01",
    )
)
CROP = 512
_STEP = 8


def gopro(request: Request) -> list[Split]:
    """The test videos; every folder where none of them is there."""
    root = find_folder(request.root, ("test",))
    videos = folders(root)
    named = [video for video in videos if video.name in GOPRO_TEST]
    notes = []
    if named and len(named) < len(GOPRO_TEST):
        missing = sorted(set(GOPRO_TEST) - {video.name for video in named})
        notes.append(f"{len(missing)} of the {len(GOPRO_TEST)} test videos are missing: {', '.join(missing)}")
    if not named:
        notes.append(f"none of the {len(GOPRO_TEST)} test videos is here; all folders are taken")
    return [_split(request, named or videos, notes)]


def adobe240(request: Request) -> list[Split]:
    """Every folder of frames."""
    return [_split(request, folders(find_folder(request.root, ("test",))), [])]


def _split(request: Request, videos: Sequence[Path], notes: Sequence[str]) -> Split:
    """Split into consecutive groups of nine frames.

    Pairs are validated two at a time, and an odd last one is dropped.
    """
    crop = request.settings.get("crop", CROP)
    assert crop is None or isinstance(crop, int)
    items = []
    for video in videos:
        frames = images(video)
        for begin in range(0, len(frames) - _STEP, _STEP):
            targets = tuple(
                Target(
                    Fraction(offset, _STEP), (frames[begin + offset],), f"{video.name}_{frames[begin + offset].stem}"
                )
                for offset in range(1, _STEP)
            )
            pair = frames[begin], frames[begin + _STEP]
            items.append(Item(f"{video.name}/{frames[begin].stem}", pair, targets, View(crop=crop or None), video.name))
    found = list(notes)
    if len(items) % 2 and not request.settings.get("keep_last"):
        found.append(f"the last pair, {items.pop().name}, is dropped as published (--keep-last keeps it)")
    return Split("all", tuple(items), None, (), tuple(found))
