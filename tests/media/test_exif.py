"""Orientation and colour profile of image files, whole and damaged."""

from __future__ import annotations

import struct

import pytest

from vsvfi.media.exif import turn_and_profile


def tiff(orientation: int, order: str = "<") -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + struct.pack(f"{order}H", 1) + entry + bytes(4)


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), name) + content + bytes(4)


def jpeg_segment(content: bytes, marker: int = 0xE1) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    "content",
    [
        PNG + png_chunk(b"IHDR", bytes(13)) + png_chunk(b"eXIf", tiff(6)),
        b"\xff\xd8" + jpeg_segment(b"JFIF\0", 0xE0) + jpeg_segment(b"Exif\0\0" + tiff(6, ">")),
        b"RIFF\0\0\0\0WEBP" + b"VP8 " + struct.pack("<I", 3) + bytes(4) + b"EXIF" + struct.pack("<I", 26) + tiff(6),
        tiff(6),
        tiff(6, ">"),
    ],
)
def test_orientation_is_found(content: bytes) -> None:
    assert turn_and_profile(content) == ("th", False)


@pytest.mark.parametrize(
    "content",
    [
        PNG + png_chunk(b"iCCP", b"name"),
        b"\xff\xd8" + jpeg_segment(b"ICC_PROFILE\0", 0xE2),
        b"RIFF\0\0\0\0WEBP" + b"ICCP" + struct.pack("<I", 4) + bytes(4),
    ],
)
def test_profiles_are_found(content: bytes) -> None:
    assert turn_and_profile(content) == ("", True)


def test_damaged_files_say_nothing() -> None:
    whole = PNG + png_chunk(b"eXIf", tiff(6))
    for length in range(len(whole)):
        turn_and_profile(whole[:length])
    for length in range(len(tiff(6))):
        assert turn_and_profile(tiff(6)[:length])[0] in ("", "th")
    assert turn_and_profile(b"\xff\xd8" + jpeg_segment(b"Exif\0\0nonsense")) == ("", False)
    assert turn_and_profile(b"II*\0\xff\xff\xff\xff") == ("", False)
    assert turn_and_profile(b"\xff\xd8\xff\xe1\0\0\xff\xe1\0\0") == ("", False)
    assert turn_and_profile(b"") == ("", False)
