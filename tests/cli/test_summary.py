"""The summary of a render counts what was rendered."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from vsvfi.cli.chain import Outcome
from vsvfi.cli.summary import summarise
from vsvfi.media.encoding import Facts, Part


@pytest.mark.parametrize(
    ("part", "times", "shown"),
    [
        (Part(), (), 48),
        (Part(0, 95), (), 48),
        (Part(48, None), (), 24),
        (Part(24, 71), (), 24),
        (Part(25, 25), (), 1),
        (Part(23, 25), (), 2),
        (Part(90, 200), (), 3),
        (Part(24, 71), (Fraction(7), *(8 + Fraction(n, 24) for n in range(48))), 13),
    ],
)
def test_source_frames_are_those_shown_during_the_part(part: Part, times: Any, shown: int) -> None:
    facts = Facts(64, 48, 96, Fraction(48), 48, Fraction(24), True, {}, "cpu")
    outcome = Outcome(part.count(96), 1.0, 1.0)
    assert summarise("a.mkv", "builtin", "libx265", facts, outcome, part, times).source_frames == shown
