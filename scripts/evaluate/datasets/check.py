"""Check a split before anything is computed: missing files, images of unexpected sizes, counts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scripts.evaluate.datasets.item import Item, Split, View
from scripts.evaluate.flow_files import flow_size
from scripts.evaluate.images import image_size
from vsvfi.errors import ArgumentError

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a check.

    Attributes:
        faults: errors that prevent a run, in sentences.
        warnings: differences that make the result not comparable with the published one.
        complete: the items whose files all exist and can be read.
    """

    faults: tuple[str, ...]
    warnings: tuple[str, ...]
    complete: tuple[Item, ...]


def check(split: Split) -> Findings:
    """Check every file of a split: whether it exists, and its size by its header."""
    faults: list[str] = []
    warnings = list(split.notes)
    targets = sum(len(item.targets) for item in split.items)
    if not split.items:
        faults.append(f"{split.name}: the folder holds nothing of this set")
    elif split.expected is not None and targets != split.expected:
        warnings.append(f"{split.name}: {targets} images to predict, the published set has {split.expected}")
    missing = [path for item in split.items for path in item.files if not path.is_file()]
    if missing:
        lacking = dict.fromkeys(missing)
        faults.append(f"{split.name}: {len(lacking)} files are missing: {_listed(map(str, lacking))}")
    names = Counter(item.name for item in split.items)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        faults.append(f"{split.name}: {len(twice)} entries occur more than once: {_listed(twice)}")
    gone = set(missing)
    present = [item for item in split.items if gone.isdisjoint(item.files)]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        checked = list(zip(present, pool.map(lambda item: _sizes(item), present), strict=True))
    unreadable = [found for _, found in checked if isinstance(found, str)]
    if unreadable:
        faults.append(f"{split.name}: {len(unreadable)} entries cannot be used: {_listed(unreadable)}")
    sizes = Counter(found for _, found in checked if not isinstance(found, str))
    if split.sizes and (others := [size for size in sizes if size not in split.sizes]):
        listed = ", ".join(f"{width}x{height}" for width, height in sorted(others)[:_SHOWN])
        published = ", ".join(f"{width}x{height}" for width, height in split.sizes)
        warnings.append(f"{split.name}: images of {listed} are here, those of the published set have {published}")
    usable = tuple(item for item, found in checked if not isinstance(found, str))
    return Findings(tuple(faults), tuple(warnings), usable)


def _sizes(item: Item) -> tuple[int, int] | str:
    """Return the common size of an item's files, or an error."""
    sizes: dict[tuple[int, int], Path] = {}
    for path in item.files:
        try:
            sizes.setdefault(flow_size(path) if path.suffix == ".flo" else image_size(path), path)
        except (OSError, ArgumentError) as error:
            return f"{item.name} ({error})"
    if len(sizes) > 1:
        differing = " and ".join(f"{path.name} {width}x{height}" for (width, height), path in sizes.items())
        return f"{item.name} ({differing})"
    ((width, height),) = sizes
    fault = _too_small(item.view, width, height)
    return f"{item.name} ({fault})" if fault else (width, height)


def _too_small(view: View, width: int, height: int) -> str:
    if isinstance(view.crop, int) and min(width, height) < view.crop:
        return f"{width}x{height} is smaller than the crop of {view.crop}: use --crop"
    if (view.reduce or view.crop == "half") and (width % 2 or height % 2 or min(width, height) < 4):
        return f"{width}x{height} has no half size"
    return ""


def _listed(entries: Iterator[str] | list[str]) -> str:
    listed = list(entries)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
