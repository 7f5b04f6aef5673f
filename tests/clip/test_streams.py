"""How many frames interpolate() computes at the same time."""

from __future__ import annotations

import pytest
import torch

import vsvfi
from tests.fakes import Recorder, numbered
from vsvfi.clip import blending
from vsvfi.engine.build import Blueprint


def test_as_many_frames_at_a_time_as_there_are_threads_and_memory_for(
    fake_family: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def graph(**arguments: object) -> None:
        vsvfi.interpolate(numbered(), model="fake", weights=fake_family.weights, device="cpu", **arguments)

    workers: list[int] = []
    session = blending.Session
    monkeypatch.setattr(
        blending, "Session", lambda *given, **named: workers.append(named["workers"]) or session(*given, **named)
    )
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        graph()
        torch.set_num_threads(1)
        graph()
        torch.set_num_threads(4)
        graph(streams=3)
        monkeypatch.setattr(
            Blueprint, "needs", lambda self, width, height, dtype, pictures: 1 << (60 if pictures > 1 else 1)
        )
        graph()
    finally:
        torch.set_num_threads(threads)
    assert workers == [2, 1, 3, 1]
