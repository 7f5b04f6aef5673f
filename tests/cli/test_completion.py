"""Completion in real shells, typed into a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from vsvfi import cli

if shutil.which("setsid") is None:
    pytest.skip("this system has no setsid; completion is not tried in shells", allow_module_level=True)
pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")

_START = {
    "bash": (["--norc", "--noprofile", "-i"], "source {script}"),
    "zsh": (["-f", "-i"], "fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D"),
    "tcsh": (["-f", "-i"], "source {script}"),
}
_PATIENCE = 30.0


def typed(shell: str, script: Path, keys: str, folder: Path) -> str:
    """Type keys into an interactive shell and return what `vsvfi`, an echo, was called with."""
    program = folder / "vsvfi"
    program.write_text('#!/bin/sh\necho "GOT(""$*"")"\n')
    program.chmod(0o755)
    options, load = _START[shell]
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": "xterm", "HOME": str(folder)}
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", str(shutil.which(shell)), *options]  # tcsh edits lines on its own terminal alone
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder) as process:
        os.close(theirs)
        try:
            os.write(ours, f"{load.format(script=script, folder=folder)}; echo LOA''DED\n".encode())
            read_until(ours, "LOADED\r\n")
            for key in keys:  # a line editor that is not ready drops what comes at once
                os.write(ours, key.encode())
                time.sleep(0.1 if key == "\t" else 0.01)
            text = read_until(ours, ")\r\n")
        finally:
            process.kill()
            os.close(ours)
    called = text[text.rindex("GOT(") + 4 :]
    return called[: called.index(")")]  # the next prompt may follow: that of an active environment has brackets


def read_until(descriptor: int, end: str) -> str:
    """Read a terminal until a text appears."""
    text, until = "", time.monotonic() + _PATIENCE
    while end not in text and time.monotonic() < until:
        if select.select([descriptor], [], [], 1)[0]:
            with contextlib.suppress(OSError):
                text += os.read(descriptor, 1 << 16).decode(errors="replace")
    assert end in text, text
    return text


def completion(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The script for a shell, as `vsvfi --print-completion` prints it."""
    pytest.importorskip("shtab", reason="shtab is not installed (extra `completion`)")
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed; its completion is not tried")
    with pytest.raises(SystemExit) as ended:
        cli.main(["--print-completion", shell])
    assert ended.value.code == 0
    path = folder / "_vsvfi"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.parametrize("shell", _START)
def test_a_shell_completes_a_command_and_its_option(
    shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = completion(shell, tmp_path, capsys)
    assert typed(shell, script, "vsvfi ren\t--overw\t\n", tmp_path).split() == ["render", "--overwrite"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vsvfi ren", ["render"]),
        ("vsvfi render --enc", ["--encoder", "--encoder-args"]),
        ("vsvfi render --gaps ", ["refuse", "close", "fill"]),
        ("vsvfi models f", ["fetch"]),
        ("vsvfi render fil", ["film.mkv"]),
    ],
)
def test_fish_completes(line: str, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = completion("fish", tmp_path, capsys)
    (tmp_path / "film.mkv").touch()
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
        env={**os.environ, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [entry.partition("\t")[0] for entry in done.stdout.splitlines()] == expected


def test_a_shtab_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shtab = pytest.importorskip("shtab", reason="shtab is not installed (extra `completion`)")
    monkeypatch.setattr(shtab, "SUPPORTED_SHELLS", ["bash"])
    assert cli.main(["--print-completion", "fish"]) == 1
    assert "writes no completions for fish; pip install -U shtab" in capsys.readouterr().err
