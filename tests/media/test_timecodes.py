"""Timecodes files: both versions, and what they must not be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from vsvfi.errors import VsvfiError
from vsvfi.media.timecodes import read_timecodes


def test_version_2_has_a_time_per_frame(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("# timestamp format v2\n40\n80.5\n\n# a comment\n200\n")
    wanted = (Fraction(0), Fraction(405, 10_000), Fraction(16, 100))
    assert read_timecodes(path, 3) == wanted
    path.write_text("\ufeff# timecode format v2\n40\n80.5\n200\n240\n", encoding="utf-8")
    assert read_timecodes(path, 3) == wanted


def test_version_1_has_ranges_of_rates(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("# timecode format v1\nassume 25\n1,2,50\n4,99,12.5\n")
    steps = [Fraction(1, 25), Fraction(1, 50), Fraction(1, 50), Fraction(1, 25), Fraction(2, 25)]
    assert read_timecodes(path, 6) == tuple(sum(steps[:n], Fraction(0)) for n in range(6))
    path.write_text("# timecode format v1\nassume 23.976\n")
    assert read_timecodes(path, 2)[1] == Fraction(1001, 24000)


@pytest.mark.parametrize(
    ("text", "frames", "message"),
    [
        ("0\n40\n", 2, "does not begin with"),
        ("# timecode format v2\n0\n40\n", 4, "has 2 times, the video 4 frames"),
        ("# timecode format v2\n0\n40\n40\n", 3, "each time later"),
        ("# timecode format v2\n0\nforty\n", 2, "cannot be understood"),
        ("# timecode format v1\n0,5,25\n", 2, "cannot be understood"),
        ("# timecode format v1\nassume 25\n3,1,25\n", 9, "is no range"),
        ("# timecode format v1\nassume 0\n", 9, "cannot be understood"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, frames: int, message: str) -> None:
    path = tmp_path / "times.txt"
    path.write_text(text)
    with pytest.raises(VsvfiError, match=message):
        read_timecodes(path, frames)
    with pytest.raises(VsvfiError, match="cannot be read"):
        read_timecodes(tmp_path / "missing", frames)
