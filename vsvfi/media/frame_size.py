"""Find out from a video's packets that its frame size changes, which source filters cannot read."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from vsvfi.errors import VsvfiError
from vsvfi.media.pyav import pyav

_STEP = 16
"""Where every frame is a key frame, one in so many is parsed: such packets are large."""

_VP9_SYNC = 0x498342
_VP9_RGB = 7


class ConstantSize:
    """Compare the sizes that the headers of key frames state; ffmpeg's parsers read them without decoding.

    Args:
        path: the file, for messages.
        index: number of its video stream.
    """

    def __init__(self, path: Path, index: int) -> None:
        self._path, self._index = path, index
        self._packets = self._key_frames = 0  # the latter without another frame between them
        self._first: tuple[int, int] | None = None

    def check(self, packet: Any) -> None:
        """Take the next packet of the file.

        Raises:
            VsvfiError: its frame differs in size from those before it.
        """
        if packet.stream.index != self._index:
            return
        self._packets += 1
        self._key_frames = self._key_frames + 1 if packet.is_keyframe else 0
        if self._key_frames % _STEP != 1:
            return
        size = coded_size(packet)
        if size is None:
            return
        self._first = self._first or size
        if size != self._first:
            (width, height), (other_width, other_height) = self._first, size
            raise VsvfiError(
                f"{self._path} changes its frame size, from {width}x{height} to {other_width}x{other_height} about "
                f"frame {self._packets - 1}; encode it with one size (ffmpeg -i FILE -c:v ffv1 -c:a copy OUT.mkv), and "
                "render that"
            )


def coded_size(packet: Any) -> tuple[int, int] | None:
    """Return the frame size in a key frame's header, None where it has none, as in codecs of stills."""
    context = packet.stream.codec_context
    if context is None:  # of an unknown codec
        return None
    if context.codec.canonical_name == "vp9":
        return vp9_size(bytes(memoryview(packet)[:16]))
    parser = pyav().CodecContext.create(context.name, "r")  # a new one knows no other size yet
    if context.extradata:
        parser.extradata = context.extradata
    with contextlib.suppress(OSError, ValueError):  # PyAV's errors, of a damaged packet
        parser.parse(bytes(packet))
        parser.parse(b"")  # the end: until then the parser waits for more of the frame
    return (parser.width, parser.height) if parser.width and parser.height else None


def vp9_size(header: bytes) -> tuple[int, int] | None:
    """Return the frame size in the uncompressed header of a VP9 key frame, which ffmpeg's parser does not read."""
    bits, left = int.from_bytes(header, "big"), 8 * len(header)

    def read(count: int) -> int:
        nonlocal left
        left -= count
        return bits >> left & (1 << count) - 1 if left >= 0 else 0

    marker, low, high = read(2), read(1), read(1)
    profile = low + 2 * high
    read(1 if profile == 3 else 0)
    existing, inter, _shown, _resilient = (read(1) for _ in range(4))
    if marker != 2 or existing or inter or read(24) != _VP9_SYNC:
        return None
    read(1 if profile >= 2 else 0)  # 10 or 12 bits
    if read(3) == _VP9_RGB:
        read(profile % 2)
    else:
        read(1 + 3 * (profile % 2))  # range, subsampling
    width, height = read(16) + 1, read(16) + 1
    return (width, height) if left >= 0 else None
