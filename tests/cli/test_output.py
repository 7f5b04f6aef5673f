"""The output of a render: claimed once, never at the cost of somebody's file, and cleaned up after."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import pytest

from vsvfi.cli import interrupts, locking, marker, output
from vsvfi.cli.output import Output, rename_new
from vsvfi.errors import VsvfiError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="uses links and POSIX locks")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_gets_its_name_and_nothing_else_stays(tmp_path: Path) -> None:
    with Output(tmp_path / "a.mkv") as claimed:
        scratch = claimed.scratch
        (scratch / "job").touch()
        claimed.begin().write_bytes(b"video")
        claimed.publish()
    assert (tmp_path / "a.mkv").read_bytes() == b"video"
    assert names(tmp_path) == {"a.mkv"}
    assert not scratch.exists()


def test_nobody_elses_file_is_used_as_the_temporary_one(tmp_path: Path) -> None:
    """Not even one of the usual name: it may be the source itself."""
    source = tmp_path / "film.mkv.partial"
    source.write_bytes(b"source")
    with Output(tmp_path / "film.mkv", [source]) as claimed:
        unfinished = claimed.begin()
        assert unfinished.name.endswith(".partial")
        unfinished.write_bytes(b"video")
        claimed.publish()
    assert source.read_bytes() == b"source"
    assert names(tmp_path) == {"film.mkv", "film.mkv.partial"}


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "a.mkv.partial").symlink_to("precious")
    with Output(tmp_path / "a.mkv") as claimed:
        claimed.begin().write_bytes(b"video")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert names(tmp_path) == {"precious", "a.mkv.partial"}


@pytest.mark.parametrize("link", ["symlink", "hard"])
def test_the_source_is_known_by_every_name(tmp_path: Path, link: str) -> None:
    source = tmp_path / "in.mkv"
    source.write_bytes(b"source")
    other = tmp_path / "other.mkv"
    other.symlink_to(source) if link == "symlink" else other.hardlink_to(source)
    with (
        pytest.raises(VsvfiError, match="is the source itself; choose another name"),
        Output(other, [source], overwrite=True),
    ):
        pass
    with pytest.raises(VsvfiError, match="is the source itself"), Output(source, [other], overwrite=True):
        pass
    assert source.read_bytes() == b"source"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.mkv").symlink_to("disk/b.mkv")
    with Output(tmp_path / "a.mkv") as claimed:
        claimed.begin().write_bytes(b"video")
        claimed.publish()
    assert (tmp_path / "a.mkv").is_symlink()
    assert (tmp_path / "disk" / "b.mkv").read_bytes() == b"video"
    with pytest.raises(VsvfiError, match="exists; choose another name or pass --overwrite"), Output(tmp_path / "a.mkv"):
        pass


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop"])
def test_an_output_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mkv"
    {"folder": path.mkdir, "fifo": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[kind]()
    with pytest.raises(VsvfiError, match=r"is a folder|is not a regular file"), Output(path, overwrite=True):
        pass
    assert names(tmp_path) == {"a.mkv"}


def test_a_second_render_is_refused_while_the_first_one_runs(tmp_path: Path) -> None:
    with Output(tmp_path / "a.mkv"):
        message = rf"is being written by another render \(process {os.getpid()}, since .*\); wait for it, or choose"
        with pytest.raises(VsvfiError, match=message), Output(tmp_path / "a.mkv", overwrite=True):
            pass
        with Output(tmp_path / "b.mkv"):
            pass
    with Output(tmp_path / "a.mkv"):
        pass
    assert names(tmp_path) == set()


def test_without_locks_the_marker_itself_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with Output(tmp_path / "a.mkv"):
        with pytest.raises(VsvfiError, match=r"or delete '.*vsvfi-lock' if no render runs"), Output(tmp_path / "a.mkv"):
            pass
        assert names(tmp_path) == {".a.mkv.vsvfi-lock"}
    assert names(tmp_path) == set()


def test_a_lock_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(VsvfiError, match=r"cannot be written .*Input/output error"), Output(tmp_path / "a.mkv"):
        pass
    descriptor = os.open(tmp_path / "x", os.O_CREAT | os.O_RDWR)
    with pytest.raises(OSError, match="Input/output"):
        locking.try_lock(descriptor)
    os.close(descriptor)


def test_somebody_elses_marker_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".a.mkv.vsvfi-lock").write_bytes(b"my notes")
    with pytest.raises(VsvfiError, match="that is not a lock of vsvfi; rename it"), Output(tmp_path / "a.mkv"):
        pass
    assert (tmp_path / ".a.mkv.vsvfi-lock").read_bytes() == b"my notes"


def leave(folder: Path, **changed: object) -> tuple[Path, Path]:
    """What a killed render leaves."""
    scratch = folder / "vsvfi-render-dead"
    scratch.mkdir()
    partial = folder / "a.mkv.partial"
    partial.write_bytes(b"half")
    record = {
        "owner": "vsvfi render",
        "pid": 1,
        "partial": partial.name,
        "partial_identity": marker.identity(partial.stat()),
        "scratch": str(scratch),
        "scratch_identity": marker.identity(scratch.stat()),
    }
    (folder / ".a.mkv.vsvfi-lock").write_text(json.dumps({**record, **changed}))
    return partial, scratch


def test_leftovers_are_removed(tmp_path: Path) -> None:
    leave(tmp_path)
    with Output(tmp_path / "a.mkv"):
        assert names(tmp_path) == {".a.mkv.vsvfi-lock"}


@pytest.mark.parametrize(
    "changed",
    [
        {"partial_identity": [1, 2], "scratch_identity": [1, 2]},
        {"partial_identity": None, "scratch_identity": None},
        {"partial": "../a.mkv.partial", "scratch": "/"},
        {"partial": 3, "scratch": None},
    ],
)
def test_what_is_not_surely_ours_stays(tmp_path: Path, changed: dict[str, object]) -> None:
    partial, scratch = leave(tmp_path, **changed)
    with Output(tmp_path / "a.mkv") as claimed:
        assert claimed.begin() != partial
    assert partial.read_bytes() == b"half"
    assert scratch.is_dir()


def test_a_record_that_was_cut_short_is_still_ours(tmp_path: Path) -> None:
    (tmp_path / ".a.mkv.vsvfi-lock").write_text('{"owner": "vsvfi render", "pid": 12')
    with Output(tmp_path / "a.mkv"):
        pass
    assert names(tmp_path) == set()


def test_a_temporary_file_that_was_replaced_is_neither_published_nor_removed(tmp_path: Path) -> None:
    with Output(tmp_path / "a.mkv") as claimed:
        unfinished = claimed.begin()
        (tmp_path / "theirs").write_bytes(b"theirs")
        (tmp_path / "theirs").replace(unfinished)
        with pytest.raises(VsvfiError, match="was removed or replaced by another program"):
            claimed.publish()
    assert names(tmp_path) == {"a.mkv.partial"}


@pytest.mark.parametrize("links", [True, False])
def test_renaming_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def unsupported(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", unsupported)
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    assert not rename_new(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"old"
    assert rename_new(tmp_path / "new", tmp_path / "free")
    assert names(tmp_path) == {"free", "old"}


@pytest.mark.parametrize("length", [200, 245, 251])
def test_long_names(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * (length - 4) + ".mkv")
    with Output(path) as claimed:
        claimed.begin().write_bytes(b"video")
        claimed.publish()
    assert names(tmp_path) == {path.name}


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with (
        pytest.raises(VsvfiError, match=r"cannot be written \(File name too long.*; choose a shorter name"),
        Output(tmp_path / ("x" * 300 + ".mkv")),
    ):
        pass


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mkv")
    with Output(path) as claimed:
        claimed.begin().write_bytes(b"video")
        claimed.publish()
    assert path.read_bytes() == b"video"


def test_no_folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(prefix: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output.tempfile, "mkdtemp", full)
    with pytest.raises(VsvfiError, match=r"No space left on device.*set TMPDIR"), Output(tmp_path / "a.mkv"):
        pass
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "you may write to"), (errno.EIO, "another name")],
)
def test_a_folder_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str) -> None:
    with Output(tmp_path / "a.mkv") as claimed:

        def refuse(*arguments: object) -> int:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", refuse)
            with pytest.raises(VsvfiError, match=message):
                claimed.begin()


def test_a_marker_that_a_full_disk_cuts_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda descriptor, data: 3)
    with pytest.raises(VsvfiError, match="No space left on device"), Output(tmp_path / "a.mkv"):
        pass
    assert names(tmp_path) == set()


def test_an_impatient_second_signal_does_not_end_the_clean_up() -> None:
    with interrupts.interruptible():
        with pytest.raises(KeyboardInterrupt):
            interrupts._handle(signal.SIGINT, None)
        try:
            interrupts._handle(signal.SIGINT, None)
        except KeyboardInterrupt:
            pytest.fail("the second signal interrupts too")


def test_a_signal_in_code_that_must_complete_takes_effect_at_its_end() -> None:
    steps = []

    def complete() -> None:
        with interrupts.shielded():
            with interrupts.shielded():
                interrupts._handle(signal.SIGINT, None)
                steps.append("inside")
            steps.append("outside")

    with interrupts.interruptible(), pytest.raises(KeyboardInterrupt):
        complete()
    assert steps == ["inside", "outside"]
