"""The two processes of a render and their pipe: success, every failure, and interrupts.

The processes are plain scripts without torch, so that the tests are fast.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cli.media_files import ffmpeg, packets
from vsvfi.cli.chain import Outcome, run_chain
from vsvfi.cli.console import say
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.output import Output
from vsvfi.cli.summary import progress_line
from vsvfi.errors import VsvfiError

SCRIPT = """
import json, pathlib, time
import vapoursynth as vs

clip = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=int({length}), fpsnum=25, fpsden=1)

def work(n, f):
    time.sleep({delay})
    {body}
    return f

clip = clip.std.ModifyFrame(clip, work)
{top}
part = pathlib.Path(facts + ".part")
part.write_text(json.dumps({{"length": clip.num_frames}}))
part.replace(facts)
clip.set_output()
"""


def write(folder: Path, *, length: int = 20, delay: float = 0, body: str = "pass", top: str = "") -> Path:
    path = folder / "script.vpy"
    path.write_text(SCRIPT.format(length=length, delay=delay, body=body, top=top))
    return path


def chain(
    folder: Path, script: Path, *extra: str, program: str = "", overwrite: bool = False, **keywords: Any
) -> Outcome:
    facts = folder / "facts.json"

    def command(raw: Mapping[str, Any], unfinished: Path) -> Sequence[str]:
        assert raw["length"] > 0
        encoding = ["-c:v", "ffv1", "-f", "matroska", str(unfinished)]
        return [program or ffmpeg(), "-v", "error", "-nostats", "-y", "-i", "-", *extra, *encoding]

    with interruptible(), Output(folder / "out.mkv", overwrite=overwrite) as output:
        options = ["-c", "y4m", *keywords.pop("vspipe_options", ())]
        return run_chain(script, {"facts": str(facts)}, facts, command, output, vspipe_options=options, **keywords)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"script.vpy", "facts.json", "facts.json.part"}


def test_the_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    message: list[tuple[int, int]] = []
    outcome = chain(
        tmp_path, write(tmp_path, delay=0.05), report=lambda done, frames, rate: message.append((done, frames))
    )
    assert outcome.frames == 20
    assert 0 < outcome.running <= outcome.total
    assert left(tmp_path) == {"out.mkv"}
    assert len(packets(tmp_path / "out.mkv", "0:v:0")) == 20
    assert message
    assert all(frames == 20 for _, frames in message)


def test_vspipes_own_options_are_passed_on(tmp_path: Path) -> None:
    assert chain(tmp_path, write(tmp_path), vspipe_options=["-s", "5", "-e", "9"]).frames == 5


def test_a_script_that_fails(tmp_path: Path) -> None:
    with pytest.raises(VsvfiError, match=r"^vspipe: interpolate: multi=0, must be more$"):
        chain(tmp_path, write(tmp_path, top='raise vs.Error("interpolate: multi=0, must be more")'))
    assert left(tmp_path) == set()


def test_a_script_that_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(VsvfiError, match=r"^vspipe: .*SyntaxError"):
        chain(tmp_path, write(tmp_path, top="this is no Python"))


def test_a_frame_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out.mkv").write_bytes(b"what was there")
    body = 'if n == 7: raise vs.Error("interpolate: frame 7: out of memory")'
    with pytest.raises(VsvfiError, match=r"^vspipe: interpolate: frame 7: out of memory$"):
        chain(tmp_path, write(tmp_path, body=body), overwrite=True)
    assert left(tmp_path) == {"out.mkv"}
    assert (tmp_path / "out.mkv").read_bytes() == b"what was there"


def test_an_encoder_that_refuses_its_options(tmp_path: Path) -> None:
    with pytest.raises(VsvfiError, match=r"^ffmpeg: .+"):
        chain(tmp_path, write(tmp_path, length=5000), "-no_such_option", "1")
    assert left(tmp_path) == set()


def test_an_encoder_that_dies_is_blamed_and_not_vspipe(tmp_path: Path) -> None:
    """Enough frames that vspipe is still writing when its reader has exited."""
    with pytest.raises(VsvfiError, match=r"^ffmpeg: "):
        chain(tmp_path, write(tmp_path, length=20000), "-vf", "no_such_filter")
    assert left(tmp_path) == set()


def test_a_finished_file_is_verified_before_it_gets_its_name(tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def verify(path: Path) -> None:
        assert len(packets(path, "0:v:0")) == 20
        seen.append(left(tmp_path))

    chain(tmp_path, write(tmp_path), verify=verify)
    assert "out.mkv" not in seen[0]
    assert left(tmp_path) == {"out.mkv"}


def test_a_file_that_fails_verification_gets_no_name(tmp_path: Path) -> None:
    def verify(path: Path) -> None:
        raise VsvfiError("out.mkv has 19 frames, 20 were planned")

    with pytest.raises(VsvfiError, match="19 frames"):
        chain(tmp_path, write(tmp_path), verify=verify)
    assert left(tmp_path) == set()


def faulty(folder: Path, body: str) -> str:
    """An ffmpeg that misbehaves."""
    program = folder / "script.sh"
    program.write_text(f"#!/bin/bash\n{body}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.skipif(os.name == "nt", reason="stands in for ffmpeg with a shell script")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo no such thing >&2; exit 3", "ffmpeg: no such thing"),
        ("exit 3", "ffmpeg: exit code 3; it closed the pipe before it had read all frames"),
        ("head -c 60000 >/dev/null; kill -9 $$", "ffmpeg: it was ended by SIGKILL"),
        ("head -c 60000 >/dev/null; echo why >&2; kill -11 $$", "ffmpeg: it was ended by SIGSEGV; last message: why"),
        ("head -c 100000 >/dev/null; exit 0", "ffmpeg: it ended before it had read all frames"),
        ("cat >/dev/null; exit 0", "ffmpeg: it reported success but wrote nothing"),
        ("head -c 30000000 /dev/zero | tr '\\0' x >&2; cat >/dev/null; exit 1", "ffmpeg: xxxx"),
        ("yes warning | head -200000 >&2; cat >/dev/null; echo last words >&2; exit 1", "ffmpeg: last words"),
        ("exec 0<&-; sleep 1; exit 1", "ffmpeg: exit code 1; it closed the pipe before it had read all frames"),
        ("sleep 1000 & cat >/dev/null; exit 1", "ffmpeg: exit code 1, without giving a reason; check free memory"),
    ],
)
def test_an_ffmpeg_that_misbehaves(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(VsvfiError) as caught:
        chain(tmp_path, write(tmp_path, length=500), program=faulty(tmp_path, body))
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 800
    assert left(tmp_path) == {"script.sh"}


@pytest.mark.skipif(os.name == "nt", reason="stands in for ffmpeg with a shell script")
def test_an_empty_output_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(VsvfiError, match=r"^ffmpeg: it wrote nothing, and the disk of .* is full; free some space$"):
        chain(tmp_path, write(tmp_path, length=5), program=faulty(tmp_path, "cat >/dev/null; exit 0"))
    assert left(tmp_path) == {"script.sh"}


@pytest.mark.skipif(os.name == "nt", reason="stands in for ffmpeg with a shell script")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("exec 0<&-; sleep 1000", ", and gave no reason"),
        ("trap '' TERM; exec 0<&-; sleep 1000", ", and gave no reason"),
        ("echo the licence server is away >&2; exec sleep 1000 <&-", "; last message: the licence server is away"),
        ("echo '/x: No space left on device' >&2; exec sleep 1000 <&-", None),
    ],
)
def test_an_ffmpeg_that_never_ends_is_stopped_with_its_children(
    tmp_path: Path, body: str, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vsvfi.cli.chain._GRACE", 1.0)
    monkeypatch.setattr("vsvfi.cli.process._PATIENCE", 1.0)
    before = time.monotonic()
    with pytest.raises(VsvfiError) as caught:
        chain(tmp_path, write(tmp_path, length=500), program=faulty(tmp_path, body))
    closed = "ffmpeg: it closed the pipe before it had read all frames, went on running, and was stopped"
    assert str(caught.value).startswith("ffmpeg: no space is left" if message is None else closed + message)
    assert time.monotonic() - before < 200
    assert left(tmp_path) == {"script.sh"}


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_a_vspipe_that_dies_is_named(tmp_path: Path) -> None:
    with pytest.raises(VsvfiError, match=r"^vspipe: it was ended by SIGKILL"):
        chain(tmp_path, write(tmp_path, body="if n == 5: import os, signal; os.kill(os.getpid(), signal.SIGKILL)"))
    assert left(tmp_path) == set()


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(VsvfiError, match=r"^ffmpeg cannot be started \("):
        chain(tmp_path, write(tmp_path), program=str(tmp_path / "absent"))
    assert left(tmp_path) == set()


def test_an_output_that_appears_during_the_render_is_left_as_it_is(tmp_path: Path) -> None:
    def verify(path: Path) -> None:
        (tmp_path / "out.mkv").write_bytes(b"somebody's")

    with pytest.raises(VsvfiError, match=r"created by another program during the render .* is in '.*out\.1\.mkv'"):
        chain(tmp_path, write(tmp_path), verify=verify)
    assert (tmp_path / "out.mkv").read_bytes() == b"somebody's"
    assert left(tmp_path) == {"out.mkv", "out.1.mkv"}
    assert len(packets(tmp_path / "out.1.mkv", "0:v:0")) == 20


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of stderr that has gone ends no render."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    say("are you there?")
    assert chain(tmp_path, write(tmp_path), report=progress_line()).frames == 20
    monkeypatch.setattr(sys, "stderr", None)
    say("and you?")


def test_warnings_reach_people_and_stdout_stays_empty(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    chain(tmp_path, write(tmp_path, top='vs.core.log_message(vs.MESSAGE_TYPE_WARNING, "interpolate: look here")'))
    seen = capfd.readouterr()
    assert "Warning: interpolate: look here" in seen.err
    assert seen.out == ""


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("numbers", [["SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGINT", "SIGINT", "SIGTERM", "SIGINT"]])
def test_an_interrupt_ends_both_and_leaves_nothing(tmp_path: Path, numbers: list[str]) -> None:
    process, children = _running(tmp_path)
    for name in numbers:
        process.send_signal(signal.Signals[name])
        time.sleep(0.02)
    process.communicate(timeout=30)
    after_clean_up = {-signal.Signals[name] for name in numbers[1:]}  # which may be done before a later signal arrives
    assert process.returncode in {1, -signal.SIGINT} | after_clean_up
    assert left(tmp_path) == set()
    assert not [child for child in children if _runs(child)]


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_a_hangup_that_is_ignored_stays_so(tmp_path: Path) -> None:
    """`nohup vsvfi render ...` outlives its terminal."""
    process, _ = _running(tmp_path, heeding=False)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """Its programs exit by themselves, since their pipes are closed."""
    process, children = _running(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    until = time.monotonic() + 60
    while any(_runs(child) for child in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [child for child in children if _runs(child)]
    assert left(tmp_path) == {".out.mkv.vsvfi-lock", "out.mkv.partial"}
    scratch = Path(json.loads((tmp_path / ".out.mkv.vsvfi-lock").read_text())["scratch"])
    assert scratch.is_dir()
    (tmp_path / "facts.json").unlink()
    chain(tmp_path, write(tmp_path))
    assert left(tmp_path) == {"out.mkv"}
    assert not scratch.exists()


def _running(tmp_path: Path, *, heeding: bool = True) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A chain in a process of its own that has begun to write, and its two programs."""
    script = write(tmp_path, length=5000, delay=0.02)
    program = f"""
import pathlib, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from tests.cli.test_chain import chain
chain(pathlib.Path({str(tmp_path)!r}), pathlib.Path({str(script)!r}))
"""

    def prepare() -> None:  # a shell's background jobs, these tests among them, ignore SIGINT
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL if heeding else signal.SIG_IGN)

    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=prepare)
    until = time.monotonic() + 60
    children: list[int] = []
    while len(children) < 2 and time.monotonic() < until:
        time.sleep(0.05)
        children = _children(process.pid)
    assert len(children) == 2
    assert (tmp_path / "out.mkv.partial").exists()
    return process, children


def _children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    return [int(pid) for pid, above in zip(listed[::2], listed[1::2], strict=True) if int(above) == parent]


def _runs(pid: int) -> bool:
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(listed) and not listed.startswith("Z")


def test_facts_are_json(tmp_path: Path) -> None:
    chain(tmp_path, write(tmp_path))
    assert json.loads((tmp_path / "facts.json").read_text()) == {"length": 20}
