"""Work in parts: every part once, and what one raises reaches the caller."""

from __future__ import annotations

import threading

import pytest

from vsvfi.ops.threads import in_parts


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_part_is_done_once_and_no_thread_stays(threads: int) -> None:
    done: list[int] = []
    before = threading.active_count()
    in_parts(done.append, threads, "test")
    assert sorted(done) == list(range(threads))
    assert threading.active_count() == before


@pytest.mark.parametrize("failing", [0, 2])
def test_what_a_part_raises_is_raised(failing: int) -> None:
    def work(part: int) -> None:
        if part == failing:
            raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match=f"part {failing}"):
        in_parts(work, 3, "test")
