"""Stdout is restored after any event inside, and clean as long as any block is active."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vsvfi.clip import stdout
from vsvfi.clip.stdout import stdout_to_stderr


def identity(descriptor: int = 1) -> tuple[int, int]:
    """What a descriptor points to."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Make descriptors 1 and 2 two files, independently of pytest's capture."""
    kept = os.dup(1), os.dup(2)
    for descriptor in (1, 2):
        opened = os.open(tmp_path / f"{descriptor}", os.O_CREAT | os.O_RDWR)
        os.dup2(opened, descriptor)
        os.close(opened)
    yield None
    for descriptor, copy in zip((1, 2), kept, strict=True):
        os.dup2(copy, descriptor)
        os.close(copy)


@pytest.mark.parametrize("first_out", [0, 1])
def test_overlapping_threads(first_out: int) -> None:
    """Two scripts that are evaluated at the same time, in either order of leaving."""
    before, errors = identity(), identity(2)
    inside = [threading.Event(), threading.Event()]
    leave = [threading.Event(), threading.Event()]
    seen: list[tuple[int, int]] = []

    def run(index: int) -> None:
        with stdout_to_stderr():
            inside[index].set()
            leave[index].wait(10)
            seen.append(identity())

    threads = [threading.Thread(target=run, args=(index,)) for index in (0, 1)]
    for index, thread in enumerate(threads):
        thread.start()
        assert inside[index].wait(10)
    leave[first_out].set()
    threads[first_out].join(10)
    assert identity() == errors
    leave[1 - first_out].set()
    threads[1 - first_out].join(10)
    assert seen == [errors, errors]
    assert identity() == before


def test_nested_and_with_an_error_inside() -> None:
    before = identity()
    with pytest.raises(ValueError, match="inside"), stdout_to_stderr(), stdout_to_stderr():
        raise ValueError("inside")
    assert identity() == before
    with stdout_to_stderr():
        with stdout_to_stderr():
            pass
        assert identity() == identity(2)
    assert identity() == before
    assert stdout._users == 0


def test_stdout_closed_inside_is_opened_again() -> None:
    before = identity()
    with stdout_to_stderr():
        os.close(1)
    assert identity() == before


def test_descriptors_are_not_used_up() -> None:
    count = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(20):
        with stdout_to_stderr():
            pass
    if count:
        assert len(os.listdir("/proc/self/fd")) == count


@pytest.mark.parametrize("missing", [(1,), (2,), (1, 2)])
def test_a_host_without_them_is_left_alone(missing: tuple[int, ...]) -> None:
    code = f"""
import os
from pathlib import Path
from vsvfi.clip.stdout import stdout_to_stderr
for descriptor in {missing}:
    os.close(descriptor)
with stdout_to_stderr(), stdout_to_stderr():
    pass
raise SystemExit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 7


def test_a_fault_of_the_redirection_itself_leaves_stdout_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = identity()

    def interrupted(*given: int) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "dup2", interrupted)
        with pytest.raises(KeyboardInterrupt), stdout_to_stderr():
            raise AssertionError("not reached")
    assert (identity(), stdout._users) == (before, 0)
    with stdout_to_stderr():
        assert identity() == identity(2)
    assert identity() == before
