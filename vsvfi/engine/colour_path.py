"""Choose where frames are converted between the clip's format and RGB: by zimg on the host, or on the device."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from vsvfi.errors import ArgumentError

VARIABLE = "VSVFI_COLOUR"
"""The environment variable that decides: "auto", "device" or "zimg"."""


@dataclass(frozen=True, slots=True)
class ColourPath:
    """Where frames are converted, and why."""

    on_device: bool
    reason: str


def choose_colour(device_types: Collection[str]) -> ColourPath:
    """Choose the conversion for devices of these types ("cpu", "cuda", ...).

    Raises:
        ArgumentError: VSVFI_COLOUR has an unknown value.
    """
    value = os.environ.get(VARIABLE, "").strip() or "auto"
    if value not in ("auto", "device", "zimg"):
        raise ArgumentError(VARIABLE, value, "must be 'auto', 'device' or 'zimg'", "unset it for the device's default")
    if value != "auto":
        return ColourPath(value == "device", f"{VARIABLE}={value}")
    others = sorted(set(device_types) - {"cuda"})
    if others:
        return ColourPath(False, f"the default on {others[0]}")
    return ColourPath(True, "the default on cuda: frames are uploaded in the clip's own format")
