"""SNU-FILM: four levels of motion at t = 1/2, and GIMM-VFI's arbitrary times between the same inputs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from scripts.evaluate.datasets.folders import entries, find_folder, find_list, locate
from scripts.evaluate.datasets.item import Item, Request, Split, Target
from vsvfi.errors import ArgumentError

LEVELS = ("easy", "medium", "hard", "extreme")
ARBITRARY = {"medium": 4, "hard": 8, "extreme": 16}
"""Frames between the inputs of a level; all frames in between are targets."""

_LINES = 310
_SIZE = ((1280, 720),)
_PLACES = ("", "eval_modes", "data/SNU-FILM", "data/SNU-FILM/eval_modes")


def snu_film(request: Request) -> list[Split]:
    """Triplets of `test-LEVEL.txt`."""
    root = find_folder(request.root, ("snufilm",))
    splits = []
    for level in request.splits or LEVELS:
        items = []
        for first, truth, second in _lines(root, level):
            name = f"{truth.parent.name}_{truth.stem}"
            targets = (Target(Fraction(1, 2), (truth,), name),)
            items.append(Item(f"{truth.parent.parent.name}/{name}", (first, second), targets))
        splits.append(Split(level, tuple(items), _LINES, _SIZE))
    return splits


def snu_film_arb(request: Request) -> list[Split]:
    """Every frame between the inputs of a level; the lists' own target is ignored."""
    root = find_folder(request.root, ("snufilm",))
    splits = []
    for level in request.splits or tuple(ARBITRARY):
        items = []
        for first, _, second in _lines(root, level):
            targets = tuple(
                Target(time, (truth,), f"{truth.parent.name}_{truth.stem}")
                for time, truth in _between(first, second, ARBITRARY[level])
            )
            items.append(Item(f"{first.parent.parent.name}/{first.parent.name}_{first.stem}", (first, second), targets))
        splits.append(Split(level, tuple(items), _LINES * (ARBITRARY[level] - 1), _SIZE))
    return splits


def _lines(root: Path, level: str) -> list[tuple[Path, Path, Path]]:
    """First input, target and second input of every line."""
    found = find_list(root, f"test-{level}.txt", _PLACES)
    lines = []
    for line in entries(found):
        paths = [locate(root, part) for part in line.split()]
        if len(paths) != 3:
            raise ArgumentError(
                "data", str(found), f"must hold three paths in every line, found {line!r}", "use the published list"
            )
        lines.append((paths[0], paths[1], paths[2]))
    return lines


def _between(first: Path, second: Path, steps: int) -> list[tuple[Fraction, Path]]:
    """Times and files of the frames between two numbered ones."""
    numbers = [path.stem for path in (first, second)]
    if not all(number.isdecimal() for number in numbers) or int(numbers[1]) - int(numbers[0]) != steps:
        raise ArgumentError(
            "data", str(second), f"must be the frame {steps} after {first.name}", "use the published list of this level"
        )
    start, width = int(numbers[0]), len(numbers[0])
    return [
        (Fraction(step, steps), first.with_name(f"{start + step:0{width}d}{first.suffix}")) for step in range(1, steps)
    ]
