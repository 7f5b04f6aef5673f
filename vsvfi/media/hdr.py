"""HDR10 metadata of a clip in the encoders' formats: mastering display and content light levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vsvfi.clip.props import read_integer, read_numbers

type Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mastering:
    """A mastering display: chromaticities by name (R, G, B, W), luminance in cd/m2."""

    points: Mapping[str, Point]
    low: float
    high: float


def mastering(props: Mapping[str, Any]) -> Mastering | None:
    """Return the mastering display of a frame, None if its description is incomplete."""
    xs, ys = (read_numbers(props, f"MasteringDisplayPrimaries{axis}") for axis in "XY")
    white = [number for axis in "XY" for number in read_numbers(props, f"MasteringDisplayWhitePoint{axis}")[:1]]
    light = [number for end in ("Min", "Max") for number in read_numbers(props, f"MasteringDisplay{end}Luminance")[:1]]
    if len(xs) != 3 or len(ys) != 3 or len(white) != 2 or len(light) != 2:
        return None
    return Mastering({**dict(zip("RGB", zip(xs, ys))), "W": (white[0], white[1])}, light[0], light[1])


def light_levels(props: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return MaxCLL and MaxFALL of a frame, None if not stated."""
    brightest = read_integer(props, "ContentLightLevelMax")
    return None if brightest is None else (brightest, read_integer(props, "ContentLightLevelAverage", 0))


def x265_hdr(props: Mapping[str, Any]) -> list[str]:
    """Format for x265: primaries in units of 0.00002, luminance in units of 0.0001 cd/m2."""
    parameters = []
    display, levels = mastering(props), light_levels(props)
    if display is not None:
        scaled = {name: (round(x * 50000), round(y * 50000)) for name, (x, y) in display.points.items()}
        named = "".join(f"{'WP' if name == 'W' else name}({scaled[name][0]},{scaled[name][1]})" for name in "GBRW")
        parameters.append(f"master-display={named}L({round(display.high * 10000)},{round(display.low * 10000)})")
    if levels is not None:
        parameters.append(f"max-cll={levels[0]},{levels[1]}")
    return [*parameters, "hdr10=1"] if parameters else []


def svtav1_hdr(props: Mapping[str, Any]) -> list[str]:
    """Format for SVT-AV1: plain numbers."""
    parameters = []
    display, levels = mastering(props), light_levels(props)
    if display is not None:
        named = "".join(f"{'WP' if name == 'W' else name}({_plain(display.points[name])})" for name in "GBRW")
        parameters.append(f"mastering-display={named}L({_plain((display.high, display.low))})")
    if levels is not None:
        parameters.append(f"content-light={levels[0]},{levels[1]}")
    return parameters


def _plain(pair: Point) -> str:
    return ",".join(f"{number:.5f}".rstrip("0").rstrip(".") for number in pair)
