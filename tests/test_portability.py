"""Other operating systems, faked one place at a time: nothing of this has run on them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from scripts import portability
from vsvfi import files
from vsvfi.cli import bench, chunk, interrupts, locking, output, process, render, scripting
from vsvfi.clip import stdout
from vsvfi.engine import device
from vsvfi.errors import VsvfiError
from vsvfi.jobs import worker
from vsvfi.weights import lock


class System(SimpleNamespace):
    """The module `os` or `signal` of another system: some names differ, and some are missing."""

    def __init__(self, real: ModuleType, missing: tuple[str, ...] = (), **differing: object) -> None:
        super().__init__(**differing)
        self._real, self._missing = real, missing

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(name)
        return getattr(self._real, name)


WINDOWS = System(os, ("killpg", "sched_getaffinity", "getloadavg", "sysconf", "link"), name="nt")


def test_everything_that_depends_on_the_system_has_a_reason() -> None:
    reasons = tomllib.loads(portability.REASONS.read_text(encoding="utf-8"))
    assert portability.faults(portability.survey(), reasons) == []
    assert portability.faults({"a.py": {"os.fork"}}, {"b.py": {"os.link": "guarded: x"}, "a.py": {}}) == [
        "a.py: os.fork depends on the system: make it portable, or give a reason",
        "b.py: os.link is not there any more: remove its reason",
    ]
    assert portability.faults({"a.py": {"x"}}, {"a.py": {"x": "because"}}) == [
        "a.py: x: begin the reason with guarded:, portable: or posix:"
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""/proc in a docstring."""', set()),
        ("os.fork(); os.path.join('a')", {"os.fork"}),
        ("import fcntl\nfrom pwd import getpwnam", {"import fcntl", "import pwd"}),
        ("open('/proc/self/statm', 'rb'); '/home'", {"/proc/self/statm"}),
        (
            "signal.SIGKILL; signal.SIGINT; getattr(signal, 'SIGHUP'); signal.SIG_IGN",
            {"signal.SIGKILL", "signal.SIGHUP"},
        ),
        ("subprocess.run(x, shell=True)", {"subprocess.run", "shell"}),
        ("subprocess.Popen(x, text=True)", {"subprocess.Popen", "text of a program without an encoding"}),
        ("subprocess.Popen(x, encoding='utf-8', preexec_fn=f)", {"subprocess.Popen", "preexec_fn"}),
        ("own = {'process_group': 0}", {"process_group"}),
        ("a.symlink_to(b); os.symlink(a, b)", {".symlink_to()", "os.symlink"}),
        ("ctypes.CDLL(None); ctypes.CDLL('x')", {"ctypes.CDLL(None)"}),
        ("open(a); a.open('w'); open(a, 'rb'); os.open(a, 1)", {"text without an encoding"}),
        ("a.read_text(); a.write_text('b')", {"text without an encoding"}),
        ("a.read_text('utf-8'); a.write_text('b', encoding='utf-8'); open(a, encoding='utf-8')", set()),
        ("hasattr(os, 'killpg')", {"os.killpg"}),
    ],
)
def test_the_search_finds(source: str, expected: set[str]) -> None:
    assert set(portability.found(source)) == expected


@pytest.mark.parametrize(("name", "tries"), [("nt", 3), ("posix", 1)])
def test_a_file_that_is_open_elsewhere_is_replaced_later_on_windows(
    name: str, tries: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def replace(source: Path, target: Path) -> None:
        asked.append(source)
        if len(asked) < 3:
            raise PermissionError(13, "in use")

    monkeypatch.setattr(files, "os", System(os, name=name, replace=replace))
    if name == "nt":
        files.replace(tmp_path / "a", tmp_path / "b")
    else:
        with pytest.raises(PermissionError):
            files.replace(tmp_path / "a", tmp_path / "b")
    assert len(asked) == tries
    monkeypatch.setattr(files, "_PATIENCE", 0.0)
    asked.clear()
    with pytest.raises(PermissionError):
        files.replace(tmp_path / "a", tmp_path / "b")


def test_windows_renames_without_replacing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(source: Path, target: Path) -> None:
        if target.exists():
            raise FileExistsError(target)
        os.replace(source, target)

    monkeypatch.setattr(output, "os", System(os, ("link",), name="nt", rename=rename))
    first, second = tmp_path / "a", tmp_path / "b"
    first.touch()
    assert output.rename_new(first, second)
    first.touch()
    assert not output.rename_new(first, second)
    assert first.exists()


@pytest.mark.parametrize("module", [process, worker])
def test_windows_gives_programs_a_group_of_their_own(
    module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[dict[str, Any]] = []

    def popen(command: object, **options: Any) -> None:
        started.append(options)
        raise OSError("not here")

    monkeypatch.setattr(module, "os", WINDOWS)
    monkeypatch.setattr(module, "subprocess", System(subprocess, Popen=popen, CREATE_NEW_PROCESS_GROUP=512))
    if module is process:
        with pytest.raises(VsvfiError, match="cannot be started"):
            process.Group().start("x", ["x"], stdin=0, stdout=0)
    else:
        with pytest.raises(OSError, match="not here"):
            worker.ChunkProcess(["x"], tmp_path / "log")
    assert started[0]["creationflags"] == 512
    assert "process_group" not in started[0]


def test_without_groups_of_processes_a_program_is_terminated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "os", WINDOWS)
    monkeypatch.setattr(process, "signal", System(signal, ("SIGKILL",)))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as waiting:
        program = process.Program("x", waiting, str)
        program.stop()
        assert waiting.returncode is not None
        assert program.stopped
        assert program.ending() == "it did not exit by itself and was stopped"


def test_only_signals_of_the_system_are_handled() -> None:
    present = {name for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)}
    assert {number.name for number in interrupts._SIGNALS} == present


@pytest.mark.parametrize("held", [False, True])
def test_windows_locks_a_byte_beyond_the_content(held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def lock_byte(descriptor: int, mode: int, count: int) -> None:
        asked.append((os.lseek(descriptor, 0, os.SEEK_CUR), mode, count))
        if held:
            raise OSError(13, "held")

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=lock_byte, LK_NBLCK=2))  # type: ignore[arg-type]
    monkeypatch.setattr(locking, "sys", SimpleNamespace(platform="win32"))
    with open(tmp_path / "lock", "wb") as file:
        assert locking.try_lock(file.fileno()) is not held
    assert asked == [(1 << 30, 2, 1)]


@pytest.mark.parametrize(
    ("platform", "library", "buffer"), [("win32", "ucrtbase", None), ("darwin", None, "__stdoutp")]
)
def test_the_c_librarys_buffer_is_flushed(
    platform: str, library: str | None, buffer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, flushed = [], []

    def load(name: str | None) -> SimpleNamespace:
        loaded.append(name)
        return SimpleNamespace(fflush=flushed.append)

    pointer = SimpleNamespace(in_dll=lambda library, name: name)
    monkeypatch.setattr(stdout, "ctypes", System(ctypes, CDLL=load, c_void_p=pointer))
    monkeypatch.setattr(stdout, "sys", SimpleNamespace(platform=platform, stdout=sys.stdout))
    stdout._flush()
    assert (loaded, flushed) == ([library], [buffer])


def kernel(total: int) -> Callable[[str], SimpleNamespace]:
    """Windows' kernel32 with so much memory."""

    def fill(status: Any) -> int:
        assert status[0] == 64, "its length comes first"
        status[1] = total
        return int(total > 0)

    return lambda name: SimpleNamespace(GlobalMemoryStatusEx=fill)


@pytest.mark.parametrize(("total", "expected"), [(8 << 30, 8 << 30), (0, 16 << 30)])
def test_memory_is_known_on_windows(total: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(device, "ctypes", System(ctypes, WinDLL=kernel(total)))
    assert device._physical_memory() == expected


def test_memory_is_guessed_where_the_system_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device._physical_memory() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(device, "os", System(os, ("sysconf",)))
    assert device._physical_memory() == 16 << 30
    monkeypatch.setattr(device, "os", System(os, sysconf=lambda name: -1))
    assert device._physical_memory() == 1, "minus one times minus one"


def test_no_process_is_signalled_on_windows_to_see_whether_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(process: int, number: int) -> None:
        raise AssertionError("there, signal 0 is Ctrl-C")

    for module in (scripting, lock):
        monkeypatch.setattr(module, "os", System(os, name="nt", kill=kill, getppid=kill))
    scripting.exit_with_parent(1)
    assert not lock._is_gone((1, lock.platform.node()))


def test_a_chunk_interrupts_itself_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(chunk, "os", System(os, ("kill",), name="nt", read=lambda descriptor, count: b""))
    monkeypatch.setattr(chunk, "signal", System(signal, raise_signal=raised.append))
    chunk._stop_with_input()
    assert raised == [signal.SIGINT]


def test_a_system_without_load_averages_is_taken_for_idle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "os", WINDOWS)
    bench._warn_if_busy()
    assert capsys.readouterr().err == ""


def test_a_name_that_is_no_text_needs_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(VsvfiError, match=r"name is no text \(A required privilege .*\); rename it"):
        render.readable_name(tmp_path / "a\udcff.mkv", tmp_path)
