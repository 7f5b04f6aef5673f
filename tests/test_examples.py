"""Every example through the real programs: vspipe, and where they are installed ffmpeg and x265."""

from __future__ import annotations

import ast
import math
import os
import re
import runpy
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.media_files import ffmpeg, listing, moving_video, packets
from vsvfi.cli.bench import write_random_weights
from vsvfi.cli.programs import find_vspipe, vspipe_environment

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.vpy"))
CLIP_FRAMES = 24
FACTOR = {"target_fps.vpy": Fraction(60, 24), "film_look.vpy": Fraction(1), "repair_recording.vpy": Fraction(1)}
BT709 = {"_Matrix": 1, "_Primaries": 1}
COLOUR = {"hdr_10bit.vpy": {"_Matrix": 9, "_Primaries": 9, "_Transfer": 16, "_ChromaLocation": 2}}
NEEDS_WEIGHTS = {"large_motion_4k.vpy": "uprnet_base", "rife.vpy": "rife40"}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What a script is given with `-a`: random weights where it would fetch published ones."""
    found: dict[str, dict[str, str]] = {}
    for name, model in NEEDS_WEIGHTS.items():
        path = tmp_path_factory.mktemp("weights") / f"{model}.safetensors"
        write_random_weights(model, path)
        found[name] = {"weights": str(path)}
    return found


def vspipe(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [find_vspipe(), *map(str, arguments)], env=vspipe_environment(), capture_output=True, check=False, timeout=120
    )


def frames_in(stream: bytes) -> tuple[str, int]:
    """Header and number of frames of a y4m stream whose frames are all of one size."""
    header, _, rest = stream.partition(b"\n")
    marks = [match.start() for match in re.finditer(rb"FRAME\n", rest)]
    sizes = {later - earlier for earlier, later in zip(marks, [*marks[1:], len(rest)])}
    assert len(sizes) == 1
    return header.decode(), len(marks)


@pytest.mark.parametrize("name", SCRIPTS)
def test_length_rate_size_and_colour(name: str, given: dict[str, dict[str, str]]) -> None:
    """In this process, where torch is imported once for all; its documented command is run below."""
    import vapoursynth as vs

    runpy.run_path(str(EXAMPLES / name), init_globals=given.get(name))
    try:
        clip = vs.get_output(0).clip
        factor = FACTOR.get(name, Fraction(2))
        assert clip.num_frames == CLIP_FRAMES * factor
        assert clip.fps == 24 * factor
        with clip.get_frame(1) as frame:
            assert (frame.width, frame.height) == (320, 180)
            assert (colour := COLOUR.get(name, BT709)).items() <= dict(frame.props).items(), (colour, frame.props)
    finally:
        vs.clear_outputs()


@pytest.mark.parametrize("name", ["hdr_10bit.vpy", "target_fps.vpy"])
def test_frames_come_out(name: str, tmp_path: Path, given: dict[str, dict[str, str]]) -> None:
    props = tmp_path / "props.json"
    arguments = [part for key, value in given.get(name, {}).items() for part in ("-a", f"{key}={value}")]
    done = vspipe("-c", "y4m", "-e", 2, "-j", props, *arguments, EXAMPLES / name, "-")
    assert done.returncode == 0, done.stderr.decode()
    header, count = frames_in(done.stdout)
    assert count == 3
    assert f" F{24 * FACTOR.get(name, Fraction(2))}:1 " in header
    assert "W320 H180" in header
    for prop, value in COLOUR.get(name, BT709).items():
        assert len(re.findall(rf'"{prop}": {value}\b', props.read_text())) == 3, props.read_text()


def test_a_video_is_opened(tmp_path: Path) -> None:
    video = moving_video(tmp_path / "in.mkv", frames=3, rate="30000/1001")
    done = vspipe("-c", "y4m", "-a", f"source={video}", "-a", "fps=60000/1001", EXAMPLES / "target_fps.vpy", "-")
    assert done.returncode == 0, done.stderr.decode()
    header, count = frames_in(done.stdout)
    assert "F60000:1001" in header
    assert count == 6


def documented_command(script: Path) -> str:
    """The command in a script's docstring: the lines from "vspipe" on, as far as a backslash continues them."""
    lines = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")), clean=False) or "").splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("vspipe "))
    end = next(index for index in range(start, len(lines)) if not lines[index].endswith("\\"))
    return "\n".join(lines[start : end + 1])


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("name", SCRIPTS)
def test_the_documented_command(name: str, tmp_path: Path, given: dict[str, dict[str, str]]) -> None:
    command = documented_command(EXAMPLES / name)
    if "x265 --y4m" in command and shutil.which("x265") is None:
        pytest.skip("the x265 program is not installed")
    (source,) = re.findall(r'source="\$PWD/(\S+)"', command)
    moving_video(tmp_path / source, "-c:v", "ffv1", "-pix_fmt", "yuv420p10le" if "hdr" in name else "yuv420p", frames=3)
    for key, value in given.get(name, {}).items():
        command = command.replace("vspipe ", f"vspipe -a {key}={value} ", 1)
    environment = vspipe_environment()
    programs = (Path(find_vspipe()).parent, Path(ffmpeg()).parent)
    environment["PATH"] = os.pathsep.join((*map(str, programs), environment["PATH"]))
    command = f"set -o pipefail; cp {EXAMPLES / name} .; {command}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    (output,) = set(tmp_path.iterdir()) - {tmp_path / source, tmp_path / name} - set(tmp_path.glob("*.lwi"))
    if name == "hdr_10bit.vpy":
        assert "yuv420p10le(tv, bt2020nc/bt2020/smpte2084" in listing(output)
    else:
        factor = Fraction(12, 5) if name == "target_fps.vpy" else FACTOR.get(name, Fraction(2))  # of 25 fps
        assert len(packets(output, "0:v:0")) == math.ceil(3 * factor)


@pytest.mark.skipif(
    shutil.which("x265") is None or shutil.which("bash") is None, reason="the x265 program is not installed"
)
def test_the_x265_script(tmp_path: Path) -> None:
    video = moving_video(tmp_path / "in.mkv", frames=3)
    output = tmp_path / "out.hevc"
    environment = vspipe_environment()
    environment["PATH"] = os.pathsep.join((str(Path(find_vspipe()).parent), environment["PATH"]))
    command = ["bash", str(EXAMPLES / "x265_pipe.sh"), video.name, output.name, "--preset", "ultrafast"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert output.stat().st_size > 0
