"""Frames that are needed at the same time exceed the core's memory limit."""

from __future__ import annotations

import pytest
import vapoursynth as vs

from vsvfi.clip import scenes
from vsvfi.clip.readable import readable


@pytest.mark.timeout(60)  # a stall never ends
def test_waiting_callbacks_go_on_above_the_memory_limit(caplog: pytest.LogCaptureFixture) -> None:
    core = vs.core.core
    before = core.max_cache_size, core.num_threads
    source = core.std.BlankClip(width=1280, height=720, format=vs.YUV420P16, length=40).std.Invert()
    try:
        core.num_threads = 2
        core.max_cache_size = limit = core.used_cache_size // (1 << 20) + 16
        facts = scenes.facts(readable(source), scene="auto", threshold=None, duplicates=False)
        for n in (20, 0, 39):
            with facts.get_frame(n) as frame:
                assert not scenes.read(frame).cut
        assert core.max_cache_size > limit
    finally:
        core.max_cache_size, core.num_threads = before
    assert "core.max_cache_size allows; it is raised to" in caplog.text
