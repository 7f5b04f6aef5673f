"""Check values of the command line that several commands have."""

from __future__ import annotations

import argparse

from vsvfi.errors import ArgumentError


def check_at_least(arguments: argparse.Namespace, least: int, *names: str) -> None:
    """Check whole numbers.

    Raises:
        ArgumentError: one is smaller than `least`.
    """
    for name in names:
        if getattr(arguments, name) < least:
            raise ArgumentError(
                name, getattr(arguments, name), f"must be {least} or more", "leave it out for the default"
            )


def parse_size(text: str, *, least: int = 1, even: bool = False) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT.

    Raises:
        ArgumentError: it is not a size, or a side is smaller than `least`, or odd where it must be even.
    """
    sides = text.lower().split("x")
    if len(sides) == 2 and all(side.isascii() and side.isdigit() for side in sides):
        width, height = (int(side) for side in sides)
        if min(width, height) >= least and not (even and (width % 2 or height % 2)):
            return width, height
    rule = f"must be WIDTHxHEIGHT{f', even numbers from {least}' if even else ''}"
    raise ArgumentError("size", text, rule, "use for example --size 1280x720")


def check_whole(curve: object) -> None:
    """Refuse a curve for a whole file, whose audio and chapters would not follow it.

    Raises:
        ArgumentError: there is one.
    """
    if curve is not None:
        raise ArgumentError(
            "curve", curve, "is for scripts: audio and chapters of a file cannot follow it", "use it in a .vpy script"
        )
