"""Create small videos with ffmpeg, and read a file's properties with ffmpeg, for the tests of the chain."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vsvfi.cli.programs import find_ffmpeg
from vsvfi.errors import VsvfiError

FLASH = 1.0
"""Seconds at which `flash_video` turns from black to white, and its tone begins."""


@functools.cache
def ffmpeg() -> str:
    try:
        return find_ffmpeg()
    except VsvfiError as error:
        pytest.skip(str(error))


def run_ffmpeg(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [ffmpeg(), "-hide_banner", "-nostdin", "-y", *map(str, arguments)], capture_output=True, check=False, timeout=60
    )


def make(path: Path, *arguments: object) -> Path:
    done = run_ffmpeg("-v", "error", *arguments, path)
    assert done.returncode == 0, done.stderr.decode()
    return path


def flash_video(path: Path, *, rate: str = "24000/1001", offset: float = 0.0, seconds: float = 2.0) -> Path:
    """Black, and white from one second on, when a tone begins; the video may start later than the audio."""
    image = (
        f"color=black:size=96x64:rate={rate}:duration={seconds},"
        f"drawbox=enable='gte(t+{offset},{FLASH}-0.001)':color=white:t=fill"
    )
    audio = f"aevalsrc='sin(880*2*PI*t)*gte(t,{FLASH})':duration={seconds + offset}"
    inputs = ["-itsoffset", offset, "-f", "lavfi", "-i", image, "-f", "lavfi", "-i", audio]
    return make(path, *inputs, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-colorspace", "bt709", "-c:a", "flac")


def moving_video(path: Path, *extra: object, frames: int = 8, rate: str = "25", source: str = "testsrc2") -> Path:
    """A test image that moves."""
    return make(
        path,
        "-f",
        "lavfi",
        "-i",
        f"{source}=size=96x64:rate={rate}",
        "-frames:v",
        frames,
        *(extra or ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
    )


def packets(path: Path, stream: str) -> list[tuple[float, float]]:
    """(time, duration) of the packets of a stream such as "0:a:0", in order, in seconds."""
    done = run_ffmpeg("-i", path, "-map", stream, "-c", "copy", "-f", "framecrc", "-")
    base = re.search(rb"#tb 0: (\d+)/(\d+)", done.stdout)
    assert base, done.stderr.decode()
    unit = int(base[1]) / int(base[2])
    rows = [line.split(b",") for line in done.stdout.splitlines() if line[:1].isdigit()]
    return sorted((int(row[2]) * unit, int(row[3]) * unit) for row in rows)


def listing(path: Path) -> str:
    """Return ffmpeg's description of a file."""
    return run_ffmpeg("-i", path).stderr.decode()


def images(path: Path, width: int, height: int) -> list[bytes]:
    """Every frame of a 4:2:0 video of this size, as its 8-bit planes one after another."""
    done = run_ffmpeg(
        *("-v", "error", "-i", path, "-map", "0:v:0"),
        *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "-"),
    )
    size = width * height * 3 // 2
    return [done.stdout[start : start + size] for start in range(0, len(done.stdout), size)]


def luma(path: Path) -> NDArray[np.uint8]:
    """Mean luma of every frame."""
    done = run_ffmpeg(
        "-v",
        "error",
        "-i",
        path,
        "-map",
        "0:v:0",
        "-vf",
        "scale=1:1:flags=area,format=gray",
        "-f",
        "rawvideo",
        "-fps_mode",
        "passthrough",
        "-",
    )
    return np.frombuffer(done.stdout, np.uint8)


def tone_start(path: Path) -> float:
    """Seconds into the file at which its audio begins."""
    done = run_ffmpeg(
        *(
            "-v",
            "error",
            "-i",
            path,
            "-map",
            "0:a:0",
            "-af",
            "aresample=async=1:first_pts=0",
            "-ar",
            "8000",
            "-ac",
            "1",
            "-f",
            "s16le",
            "-c:a",
            "pcm_s16le",
            "-",
        )
    )
    samples = np.abs(np.frombuffer(done.stdout, np.int16).astype(int))
    return float(np.argmax(samples > 2000)) / 8000
