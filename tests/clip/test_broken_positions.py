"""A missing source frame, at every position and in every mode: only output frames that need it fail."""

from __future__ import annotations

from fractions import Fraction

import pytest
import vapoursynth as vs

from tests.clip.test_failures import failures, interpolated
from tests.fakes import Recorder, numbered

LENGTH = 9


def broken_natively(position: int) -> vs.VideoNode:
    """A clip one of whose frames a native filter refuses, without any callback of Python's."""
    clip = numbered(length=LENGTH)
    marked = clip.std.SetFrameProps(_Matrix=99)
    spliced = vs.core.std.FrameEval(clip, lambda n: marked if n == position else clip, clip_src=[marked, clip])
    return spliced.resize.Point(format=vs.YUV444PS, matrix=1).resize.Point(format=clip.format.id)


def needing(position: int, factor: Fraction) -> list[int]:
    """The output frames shown from, or blended with, a source frame."""
    found = []
    for n in range(-int(-LENGTH * factor // 1)):
        at = n / factor
        if abs(at - round(at)) < Fraction(1, 100):  # shown as it is
            at = Fraction(round(at))
        first = min(int(at), LENGTH - 1)
        second = first if at.denominator == 1 else min(first + 1, LENGTH - 1)
        if position in (first, second):
            found.append(n)
    return found


@pytest.mark.parametrize("position", range(LENGTH))
@pytest.mark.parametrize(
    ("arguments", "factor"),
    [
        ({"scene": "off", "duplicates": "off"}, Fraction(2)),
        ({"multi": 3}, Fraction(3)),
        ({"scene": "props", "duplicates": "retime", "multi": Fraction(5, 2)}, Fraction(5, 2)),
        ({"fps": 60}, Fraction(60, 24)),
        ({"fps": (30000, 1001), "duplicates": "retime"}, Fraction(30000, 1001) / 24),
        ({"fps": 18, "scene": "off"}, Fraction(3, 4)),
    ],
    ids=str,
)
def test_only_frames_that_need_it_fail(
    fake_family: Recorder, position: int, arguments: dict[str, object], factor: Fraction
) -> None:
    lines: list[str] = []
    handle = vs.core.add_log_handler(lambda level, text: lines.append(text))
    try:
        found = failures(interpolated(fake_family, broken_natively(position).std.AssumeFPS(fpsnum=24), **arguments))
    finally:
        vs.core.remove_log_handler(handle)
    assert sorted(found) == needing(position, factor)
    for n, text in found.items():
        assert text.startswith(f"interpolate: frame {n}: source frame {position} cannot be read; ")
    if factor > 1 or found:
        warning = f"interpolate: source frame {position} cannot be read"
        assert [line for line in lines if line.startswith(warning)], lines
