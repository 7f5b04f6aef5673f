"""vspipe as a subprocess: its stream byte for byte, pipes into ffmpeg and x265, a reader that exits early."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

VSPIPE = Path(sys.executable).with_name("vspipe")

SCRIPT = """
import sys
sys.path[:0] = {path!r}
import vapoursynth as vs
from tests import fakes
import vsvfi, vsvfi.models
vsvfi.models.__path__.append({families!r})

def paint(n, plane, array):
    array[:] = 40 + 4 * (n % 35) + 20 * plane

clip = fakes.painted(paint, format=vs.YUV420P8, width=64, height=64, length={length}, fpsnum=24000, fpsden=1001)
arguments = dict(model="fake", weights={weights!r}, device="cpu", duplicates="off", scene="off")
vsvfi.interpolate(clip, multi=int(globals().get("multi", 2)), **arguments).set_output()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that interpolates a numbered clip with the fake family, whose import prints to stdout."""
    return write_script(tmp_path, 10)


def write_script(folder: Path, length: int) -> Path:
    from tests import fakes

    weights = fakes.write_family(folder / "families")
    path = folder / "script.vpy"
    root = str(Path(__file__).resolve().parents[2])
    path.write_text(SCRIPT.format(path=[root], families=str(folder / "families"), weights=str(weights), length=length))
    return path


def vspipe(*arguments: object, **keywords: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(VSPIPE), *map(str, arguments)], capture_output=True, timeout=120, check=False, **keywords
    )  # type: ignore[call-overload, no-any-return]


def test_the_stream_is_the_video_and_nothing_else(script: Path) -> None:
    done = vspipe("-c", "y4m", script, "-")
    assert done.returncode == 0, done.stderr.decode()
    assert b"a noisy library writes to stdout while it is imported" in done.stderr
    assert b"and so does a C library" in done.stderr
    header, _, body = done.stdout.partition(b"\n")
    assert header.startswith(b"YUV4MPEG2 ")
    assert b"F48000:1001" in header
    expected = b""
    for n in range(20):
        k, odd = divmod(n, 2)
        expected += b"FRAME\n"
        for plane, size in enumerate((64 * 64, 32 * 32, 32 * 32)):
            expected += bytes([40 + 4 * k + 20 * plane + (2 if odd and k < 9 else 0)]) * size
    assert body == expected


def test_parts_are_the_same_frames(script: Path) -> None:
    whole = vspipe(script, "-").stdout
    size = len(whole) // 20
    parts = b"".join(vspipe("-s", start, "-e", end, script, "-").stdout for start, end in ((0, 6), (7, 12), (13, 19)))
    assert parts == whole
    assert len(whole) == size * 20


def test_a_reader_that_goes_away_ends_it(tmp_path: Path) -> None:
    """The encoder dies: vspipe must not hang, nor crash."""
    script = write_script(tmp_path, 5000)
    pipe = subprocess.Popen(
        [str(VSPIPE), "-c", "y4m", str(script), "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert pipe.stdout is not None
    assert pipe.stdout.read(10_000).startswith(b"YUV4MPEG2")
    pipe.stdout.close()
    assert pipe.stderr is not None
    messages = pipe.stderr.read()
    pipe.stderr.close()
    assert pipe.wait(60) >= 0, messages.decode()  # it ended by itself; a crash would be the negative number of a signal
    assert b"Traceback" not in messages


def test_info_is_quick_and_quiet(script: Path) -> None:
    done = vspipe("--info", script)
    assert done.returncode == 0
    assert b"Frames: 20" in done.stdout
    assert b"noisy" not in done.stdout


def test_errors_reach_the_user(tmp_path: Path) -> None:
    path = tmp_path / "wrong.vpy"
    path.write_text(
        "import vapoursynth as vs, vsvfi\nvsvfi.interpolate(vs.core.std.BlankClip(), model='riff').set_output()\n"
    )
    done = vspipe("--info", path)
    assert done.returncode == 1
    assert b"interpolate: model='riff', is not a known model" in done.stderr
    assert done.stdout == b""


def ffmpeg() -> str:
    found = shutil.which("ffmpeg")
    if found is None:
        imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="neither ffmpeg nor imageio-ffmpeg is here")
        found = str(imageio_ffmpeg.get_ffmpeg_exe())
    return found


@pytest.mark.parametrize("encoder", ["ffv1", "libx264"])
def test_into_ffmpeg(script: Path, tmp_path: Path, encoder: str) -> None:
    out = tmp_path / "out.mkv"
    with subprocess.Popen(
        [str(VSPIPE), "-c", "y4m", str(script), "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as source:
        subprocess.run(
            [ffmpeg(), "-v", "error", "-i", "-", "-c:v", encoder, str(out)],
            stdin=source.stdout,
            check=True,
            timeout=120,
        )
    assert source.returncode == 0
    probe = subprocess.run(
        [ffmpeg(), "-v", "error", "-i", str(out), "-f", "framehash", "-"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    frames = [line for line in probe.stdout.splitlines() if not line.startswith("#")]
    assert len(frames) == 20
    # Every frame is another image, but for the last, which is held
    assert len({line.split(",")[-1] for line in frames}) >= 19


def test_into_x265(script: Path, tmp_path: Path) -> None:
    x265 = shutil.which("x265")
    if x265 is None:
        pytest.skip("the x265 program is not here")
    out = tmp_path / "out.hevc"
    with subprocess.Popen(
        [str(VSPIPE), "-c", "y4m", str(script), "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as source:
        done = subprocess.run(
            [x265, "--y4m", "-", "-o", str(out), "--preset", "ultrafast"],
            stdin=source.stdout,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    assert source.returncode == 0
    assert "encoded 20 frames" in done.stderr
    assert out.stat().st_size > 100


def test_killed_and_started_again_gives_the_same_frames(tmp_path: Path) -> None:
    script = write_script(tmp_path, 400)
    whole = vspipe(script, "-").stdout
    size = len(whole) // 800
    pipe = subprocess.Popen([str(VSPIPE), str(script), "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert pipe.stdout is not None
    head = pipe.stdout.read(size * 50)
    pipe.kill()
    pipe.wait(60)
    pipe.stdout.close()
    assert head == whole[: size * 50]
    assert vspipe("-s", 50, script, "-").stdout == whole[size * 50 :]


def test_import_stays_light() -> None:
    """`import vsvfi` pulls in neither torch nor VapourSynth, and an unknown attribute is an AttributeError."""
    code = "import sys, vsvfi, json; heavy = ('torch', 'vapoursynth', 'numpy'); "
    code += "print(json.dumps([m for m in heavy if m in sys.modules])); vsvfi.nothing"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert json.loads(done.stdout) == []
    assert "module 'vsvfi' has no attribute 'nothing'" in done.stderr
