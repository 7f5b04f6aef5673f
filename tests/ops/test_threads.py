"""Work in parts: every part once, and what one raises reaches the caller."""

from __future__ import annotations

import gc
import threading
import weakref

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


def test_parts_without_a_thread_run_on_the_calling_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    in_parts(done.append, 4, "test")
    assert sorted(done) == [0, 1, 2, 3]


def test_what_a_part_held_is_free_once_its_error_was_handled() -> None:
    class Large:
        pass

    made: list[weakref.ref[Large]] = []

    def work(part: int) -> None:
        large = Large()
        made.append(weakref.ref(large))
        raise MemoryError

    gc.disable()
    try:
        caught = False
        try:
            in_parts(work, 3, "test")
        except MemoryError:  # not pytest.raises, which would keep it
            caught = True
        assert caught
        assert [reference() for reference in made] == [None] * 3
    finally:
        gc.enable()
