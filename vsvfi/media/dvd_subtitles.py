"""Read and change the times inside DVD subtitles: a packet states itself how long it is shown.

A packet is its size, the offset of its control sequences, an image, and the sequences: each a delay from the packet's
time, the offset of the next one (its own in the last), and commands, of which 2 hides the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

_UNIT = Fraction(1024, 90_000)
"""Seconds of a unit of the delay."""
_HIDE = 2
_ARGUMENTS = {0: 0, 1: 0, 2: 0, 3: 2, 4: 2, 5: 6, 6: 4}
"""Bytes that follow a command; others end the sequence."""


def shown_for(packet: bytes) -> Fraction | None:
    """Return after how many seconds the image is hidden, or None if the packet does not state it."""
    for at in _sequences(packet):
        if _hides(packet, at + 4):
            return int.from_bytes(packet[at : at + 2]) * _UNIT
    return None


def begun(packet: bytes, ago: Fraction) -> bytes:
    """Return the packet as it is when its image has been shown for `ago` seconds."""
    changed = bytearray(packet)
    for at in _sequences(packet):
        delay = int.from_bytes(packet[at : at + 2])
        changed[at : at + 2] = max(delay - round(ago / _UNIT), 0).to_bytes(2)
    return bytes(changed)


def stretched(packet: bytes, factor: Fraction) -> bytes:
    """Return the packet with everything in it that many times as late."""
    changed = bytearray(packet)
    for at in _sequences(packet):
        delay = int.from_bytes(packet[at : at + 2])
        changed[at : at + 2] = min(round(delay * factor), 0xFFFF).to_bytes(2)
    return bytes(changed)


def _sequences(packet: bytes) -> Iterator[int]:
    """Yield the offset of each control sequence; of a broken packet those before the fault."""
    before, at = 0, int.from_bytes(packet[2:4])
    while before < at <= len(packet) - 4:
        yield at
        before, at = at, int.from_bytes(packet[at + 2 : at + 4])


def _hides(packet: bytes, at: int) -> bool:
    while at < len(packet) and packet[at] != _HIDE:
        if packet[at] not in _ARGUMENTS:
            return False
        at += 1 + _ARGUMENTS[packet[at]]
    return at < len(packet)
