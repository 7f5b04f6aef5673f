"""Read an image file's orientation, and whether it has a colour profile.

Parsed from the file itself: PyAV frees the metadata of a frame's side data twice, which a profile has.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_ORIENTATION = 0x0112
_TURNS = {2: "h", 3: "hv", 4: "v", 5: "t", 6: "th", 7: "thv", 8: "tv"}


def turn_and_profile(content: bytes) -> tuple[str, bool]:
    """Return an image's orientation and whether it has a colour profile.

    The orientation is a string of steps to display it: "t" transposes, then "h" and "v" mirror horizontally and
    vertically.

    Args:
        content: of a PNG, JPEG, WebP or TIFF file; nothing is found in others.
    """
    turn, profile = "", False
    for kind, block in _blocks(content):
        if kind == "exif":
            turn = _TURNS.get(_orientation(block), "")
        else:
            profile = True
    return turn, profile


def _blocks(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the blocks "exif" and "profile" of a file."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        found = _chunks(content, 8, ">I4s", ending=4, even=False)
        names = {b"eXIf": "exif", b"iCCP": "profile"}
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        found = ((kind, block) for kind, block in _chunks(content, 12, "<4sI", ending=0, even=True))
        names = {b"EXIF": "exif", b"ICCP": "profile"}
    elif content.startswith(b"\xff\xd8"):
        found = _segments(content)
        names = {b"Exif": "exif", b"ICC_": "profile"}
    elif content[:4] in (b"II*\0", b"MM\0*"):
        yield "exif", content
        return
    else:
        return
    for kind, block in found:
        if kind in names:
            yield names[kind], block.removeprefix(b"Exif\0\0")


def _chunks(content: bytes, start: int, head: str, *, ending: int, even: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of PNG (length, name, content, checksum) or RIFF (name, length, content)."""
    while start + 8 <= len(content):
        first, second = struct.unpack_from(head, content, start)
        length, name = (first, second) if isinstance(first, int) else (second, first)
        yield name, content[start + 8 : start + 8 + length]
        start += 8 + length + ending + (length % 2 if even else 0)


def _segments(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the application segments before a JPEG's image data, with their first four bytes."""
    start = 2
    while start + 4 <= len(content) and content[start] == 0xFF and content[start + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, start + 2)
        block = content[start + 4 : start + 2 + length]
        if 0xE0 <= content[start + 1] <= 0xEF:
            yield block[:4], block
        start += 2 + max(length, 2)


def _orientation(block: bytes) -> int:
    """Return the orientation in the first directory of TIFF data, 1 if there is none."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return 1
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    if start + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for index in range(count):
        entry = start + 2 + 12 * index
        if entry + 12 > len(block):
            break
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", block, entry)
        if tag == _ORIENTATION:
            return int(value)
    return 1
