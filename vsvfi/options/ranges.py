"""Parse ranges of source frames: "[100 250] [900 1200]", [(100, 250), 900], or one frame number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vsvfi.errors import ArgumentError
from vsvfi.options.values import checked, plain_integer, plain_items, plain_text

type Excluded = str | int | Sequence[int | tuple[int, int]]
type Ranges = tuple[tuple[int, int], ...]
"""First and last frame of each range, in order; no two overlap or touch."""

_MOST_RANGES = 100_000
_LONGEST_TEXT = 4_000_000
_LARGEST_FRAME = 2**31 - 2
_RANGE = re.compile(r"\[\s*([0-9]{1,10})\s*[\s,:-]\s*([0-9]{1,10})\s*\]|\[\s*([0-9]{1,10})\s*\]|([0-9]{1,10})(?![0-9])")
_RULE = "must be ranges of source frames, first and last, in order"
_REMEDY = 'use for example exclude="[100 250] [900 1200]" or exclude=[(100, 250), (900, 1200)]'


@checked("exclude")
def parse_exclude(value: object) -> Ranges:
    """Ranges of frames, both ends included, given as text, a list of pairs and frame numbers, or one frame number."""
    if value is None:
        return ()
    text = plain_text(value)
    given = _written(text) if text is not None else _listed(value)
    if given is None or any(not 0 <= first <= last <= _LARGEST_FRAME for first, last in given):
        raise ArgumentError("exclude", value, _RULE, _REMEDY)
    merged: list[tuple[int, int]] = []
    for first, last in sorted(given):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return tuple(merged)


def check_within(ranges: Ranges, length: int) -> None:
    """Refuse ranges that lie beyond the last frame of a clip.

    Raises:
        ArgumentError: with the clip's length.
    """
    beyond = next((bounds for bounds in ranges if bounds[1] >= length), None)
    if beyond is not None:
        raise ArgumentError(
            "exclude",
            f"[{beyond[0]} {beyond[1]}]",
            f"must lie within the clip, which has {length} frames, 0 to {length - 1}",
            "count source frames, not output frames, from 0",
        )


def _written(text: str) -> list[tuple[int, int]] | None:
    if len(text) > _LONGEST_TEXT:
        return None
    found, place = [], 0
    while place < len(text):
        if text[place].isspace() or text[place] in ",;":
            place += 1
            continue
        match = _RANGE.match(text, place)
        if match is None:
            return None
        ends = [int(end) for end in match.groups() if end is not None]
        found.append((ends[0], ends[-1]))
        place = match.end()
    return found


def _listed(value: object) -> list[tuple[int, int]] | None:
    items = plain_items(value, _MOST_RANGES)
    items = [value] if items is None else items
    if len(items) > _MOST_RANGES:
        return None
    found = []
    for item in items:
        parts = plain_items(item, 2)
        ends = [plain_integer(part) for part in ([item, item] if parts is None else parts)]
        if len(ends) != 2 or ends[0] is None or ends[1] is None:
            return None
        found.append((ends[0], ends[1]))
    return found
