"""Arguments of `vsvfi render` that contradict each other or cannot be read, refused before anything is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.test_render import refused
from vsvfi.cli import main, render
from vsvfi.errors import ArgumentError, VsvfiError


def test_a_negative_frame_number_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["render", "a", "-o", "b", "-s", "-5"])
    assert "-s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-s", "5", "-e", "3"), "end=3, lies before start=5"),
        (("--multi", "2", "--fps", "60"), "multi='2', cannot be given together with fps="),
        (("--fps", "60", "-a", "multi=3"), "multi=3, cannot be given together with fps="),
        (("--scale", "1", "-a", "scale=2"), "--scale is given too"),
        (("-a", "streams=1", "-a", "streams=2"), "streams is given twice"),
        (("-a", "weights=5"), "weights=5, must be a path"),
        (("-a", "model=b'x'"), "model=b'x', must be the name of a model"),
        (("-a", f"model={'(' * 5000}"), "is not a known model|must be|cannot be read"),
        (("--encoder", "aac"), "encoder 'aac' is not a video encoder"),
        (("--encoder", "libx264", "-o", "out.webm"), "makes h264, which .webm cannot hold; use --encoder libvpx-vp9"),
        (("-o", "folder.mkv"), "is a folder; give the name of a file in it"),
    ],
)
def test_contradictions_are_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mkv").write_bytes(b"no video")
    (tmp_path / "folder.mkv").mkdir()
    line = refused(capsys, "in.mkv", "-o", "out.mkv", *arguments)
    assert re.search(message, line)
    assert line.count("\n") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.mkv", "folder.mkv"}


@pytest.mark.parametrize(
    "arguments", [("-s", "-1"), ("-s", "1e3"), ("-e", "x"), ("--crf", "much"), ("--crf", "nan"), ("-r", "9" * 5000)]
)
def test_numbers_that_are_none(arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["render", "a", "-o", "b.mkv", *arguments])
    assert caught.value.code == 2
    assert f"argument {arguments[0]}" in capsys.readouterr().err


def test_a_job_that_cannot_be_written(tmp_path: Path) -> None:
    """A value that JSON cannot hold, and a folder for temporary files that is full or gone."""
    there, gone = tmp_path / "job", tmp_path / "gone" / "job"
    with pytest.raises(ArgumentError, match="holds a value that cannot be passed on"):
        render._write_job(there, "", there, {"arguments": {"options": {"x": 1j}}})
    with pytest.raises(VsvfiError, match=r"cannot be written .*; free some space, or set TMPDIR"):
        render._write_job(gone, "", gone, {"arguments": {}})
