"""Timesteps that are reached by bisection."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

import torch

from tests.engine.sessions import Notes, ask, source
from tests.fakes import Recorder
from vsvfi.engine.session import Session

BATCHES = {"batches": True}
"""Of a family that gains by batches."""


def test_bisection_by_option_is_what_a_midpoint_model_does(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    results = []
    for session in (opened("fake_half"), opened(options={"times": "halving"})):
        fake_family.calls.clear()
        results.append(([ask(session, 0, Fraction(n, 4)) for n in (1, 2, 3)], fake_family.counts()))
    (by_weights, counts), (by_option, same_counts) = results
    assert counts == same_counts == {"encode": 3, "prepare": 3, "synthesise": 3}
    assert all(torch.equal(one, other) for one, other in zip(by_weights, by_option, strict=True))


def test_sequential_playback_with_a_midpoint_model(opened: Callable[..., Session], fake_family: Recorder) -> None:
    session = opened("fake_half")
    for first in range(5):
        for step in (1, 2, 3):
            result = ask(session, first, Fraction(step, 4))
            expected = source(first) * (1 - step / 4) + source(first + 1) * step / 4
            assert torch.allclose(result, expected, atol=1e-6)
    counts = fake_family.counts()
    assert counts["synthesise"] == 15  # three images a pair, the middle one made once
    assert {detail for phase, detail in fake_family.calls if phase == "synthesise"} == {0.5}
    assert counts["encode"] == 6 + 5


def test_a_level_of_midpoints_is_made_at_once(opened: Callable[..., Session], fake_family: Recorder) -> None:
    times = [Fraction(step, 8) for step in range(1, 8)]
    for order in (times, times[::-1], random.Random(1).sample(times, 7)):
        fake_family.calls.clear()
        notes = Notes()
        session = opened("fake_half", multi=8, family=BATCHES, observer=notes)
        for t in order:
            assert torch.allclose(ask(session, 0, t), (1 - float(t)) * source(0) + float(t) * source(1), atol=1e-6)
        assert sorted(map(len, notes.positions("synthesise"))) == [1, 2, 4]
        assert fake_family.counts() == {"encode": 5, "prepare": 7, "synthesise": 7}


def test_a_level_is_not_made_at_once_where_it_cannot_be_held(opened: Callable[..., Session]) -> None:
    """Otherwise all of it would be computed again for each of its images."""
    notes = Notes()
    session = opened("fake_half", multi=8, cache=10_000, family=BATCHES, observer=notes)
    ask(session, 0, Fraction(1, 8))
    assert set(map(len, notes.positions("synthesise"))) == {1}


def test_a_level_is_not_made_at_once_without_the_familys_word(
    opened: Callable[..., Session], fake_family: Recorder
) -> None:
    session = opened("fake_half", multi=4)
    ask(session, 0, Fraction(1, 4))
    assert fake_family.counts()["synthesise"] == 2


def test_held_levels_count_and_stay_in_the_budget(opened: Callable[..., Session]) -> None:
    notes = Notes()
    session = opened("fake_half", multi=4, cache=400_000, family=BATCHES, observer=notes)
    for first in range(8):
        for step in (1, 2, 3):
            ask(session, first, Fraction(step, 4))
    assert max(map(len, notes.positions("synthesise"))) == 2
    assert 0 < session.statistics()["peak_bytes"] <= 400_000


def test_noise_is_asked_for_by_position(opened: Callable[..., Session], fake_family: Recorder) -> None:
    """The position is that of the interpolated frame on the source axis.

    A midpoint has its own, and so has the same timestep of another pair.
    """
    notes = Notes()
    session = opened("fake_half", observer=notes)
    ask(session, 3, Fraction(1, 4))
    ask(session, 4, Fraction(1, 2))
    ask(session, 6, Fraction(1, 2), second=9)
    assert fake_family.positions == [Fraction(7, 2), Fraction(13, 4), Fraction(9, 2), Fraction(15, 2)]
    assert notes.positions("synthesise") == [[position] for position in fake_family.positions]
