"""Two programs and a pipe: success, every way to fail, and being interrupted. Plain scripts without torch, so that it is quick."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.media_files import ffmpeg, packets
from vsvfi.cli.chain import Outcome, run_chain
from vsvfi.cli.interrupts import interruptible
from vsvfi.cli.output import Output
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
pathlib.Path(facts).write_text(json.dumps({{"length": clip.num_frames}}))
clip.set_output()
"""


def write(folder: Path, *, length: int = 20, delay: float = 0, body: str = "pass", top: str = "") -> Path:
    path = folder / "script.vpy"
    path.write_text(SCRIPT.format(length=length, delay=delay, body=body, top=top))
    return path


def chain(folder: Path, script: Path, *extra: str, overwrite: bool = False, **keywords: Any) -> Outcome:
    facts = folder / "facts.json"

    def command(raw: Mapping[str, Any], unfinished: Path) -> Sequence[str]:
        assert raw["length"] > 0
        encoding = ["-c:v", "ffv1", "-f", "matroska", str(unfinished)]
        return [ffmpeg(), "-v", "error", "-nostats", "-y", "-i", "-", *extra, *encoding]

    with interruptible(), Output(folder / "out.mkv", overwrite=overwrite) as output:
        return run_chain(script, {"facts": str(facts)}, facts, command, output, **keywords)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"script.vpy", "facts.json"}


def test_the_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    outcome = chain(tmp_path, write(tmp_path, delay=0.05), report=lambda done, frames, rate: told.append((done, frames)))
    assert outcome.frames == 20
    assert 0 < outcome.running <= outcome.total
    assert left(tmp_path) == {"out.mkv"}
    assert len(packets(tmp_path / "out.mkv", "0:v:0")) == 20
    assert told
    assert all(frames == 20 for _, frames in told)


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
    """Enough frames that vspipe is still writing when nobody reads any more."""
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


def test_warnings_reach_people_and_stdout_stays_empty(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    chain(tmp_path, write(tmp_path, top='vs.core.log_message(vs.MESSAGE_TYPE_WARNING, "interpolate: look here")'))
    seen = capfd.readouterr()
    assert "Warning: interpolate: look here" in seen.err
    assert seen.out == ""


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    script = write(tmp_path, length=5000, delay=0.02)
    program = f"""
import pathlib, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from tests.cli.test_chain import chain
chain(pathlib.Path({str(tmp_path)!r}), pathlib.Path({str(script)!r}))
"""
    heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs, these tests among them, ignore it
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, start_new_session=True, preexec_fn=heeding)
    until = time.monotonic() + 30
    while not (tmp_path / "out.mkv.partial").exists() and time.monotonic() < until:
        time.sleep(0.05)
    children = _children(process.pid)
    assert len(children) == 2
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode in (1, -signal.SIGINT)
    assert left(tmp_path) == set()
    assert not [child for child in children if _runs(child)]


def _children(parent: int) -> list[int]:
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    return [int(pid) for pid, above in zip(listed[::2], listed[1::2], strict=True) if int(above) == parent]


def _runs(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return bool(listed) and not listed.startswith("Z")


def test_facts_are_json(tmp_path: Path) -> None:
    chain(tmp_path, write(tmp_path))
    assert json.loads((tmp_path / "facts.json").read_text()) == {"length": 20}
