"""How many frames interpolate() computes at the same time."""

from __future__ import annotations

import pytest
import torch

from tests.fakes import Recorder, numbered
from vsvfi.clip.graph import interpolate_with_config
from vsvfi.engine import memory


def test_as_many_frames_at_a_time_as_there_are_threads_and_memory_for(
    fake_family: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def workers(**arguments: int) -> int:
        given = {"model": "fake", "weights": fake_family.weights, "device": "cpu", **arguments}
        return interpolate_with_config(numbered(), **given).config.workers  # type: ignore[arg-type]

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        assert workers() == 2
        torch.set_num_threads(1)
        assert workers() == 1
        torch.set_num_threads(4)
        assert workers(streams=3) == 3
        monkeypatch.setattr(
            memory, "estimate_memory", lambda model, size, placement, batch=1: 1 << (60 if batch > 1 else 1)
        )
        assert workers() == 1
    finally:
        torch.set_num_threads(threads)
