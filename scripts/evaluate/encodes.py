"""Encode procedural clips with x264 and x265 through ffmpeg, and read them back, for measurements and tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from vsvfi.cli.programs import find_ffmpeg
from vsvfi.errors import VsvfiError
from vsvfi.synthetic.texture import Array

_ALONE = "pools=none:frame-threads=1"
"""One thread, so that an encode is the same every time."""

ENCODERS = {
    "lossless": None,
    "x264 crf 18": ("-c:v", "libx264", "-preset", "medium", "-crf", "18"),
    "x264 crf 23": ("-c:v", "libx264", "-preset", "medium", "-crf", "23"),
    "x264 crf 28": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "28"),
    "x264 400 kbit/s, live": (
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"),
        *("-b:v", "400k", "-maxrate", "400k", "-bufsize", "100k", "-g", "24"),
    ),
    "x265 crf 22": ("-c:v", "libx265", "-preset", "medium", "-crf", "22", "-x265-params", f"log-level=error:{_ALONE}"),
    "x265 crf 28": ("-c:v", "libx265", "-preset", "fast", "-crf", "28", "-x265-params", f"log-level=error:{_ALONE}"),
}
"""Arguments of ffmpeg by name; None keeps the frames as they are."""

type Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of a clip in YUV420P8, in memory.

    Attributes:
        planes: three planes for each frame.
    """

    planes: tuple[tuple[Plane, ...], ...]

    def clip(self, rate: int = 24) -> vs.VideoNode:
        """As a clip."""
        height, width = self.planes[0][0].shape
        blank = vs.core.std.BlankClip(
            format=vs.YUV420P8, width=width, height=height, length=len(self.planes), fpsnum=rate, fpsden=1, keep=True
        ).std.SetFrameProps(_Matrix=1, _Range=1)

        def fill(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
            assert isinstance(f, vs.VideoFrame)
            out = f.copy()
            for target, plane in zip(range(3), self.planes[n], strict=True):
                np.asarray(out[target])[:] = plane
            return out

        return blank.std.ModifyFrame(blank, fill)


def drawn(frame: Callable[[int], Array], length: int) -> Frames:
    """Convert images, [3, H, W] in 0 to 1, to YUV420P8."""
    _, height, width = frame(0).shape
    blank = vs.core.std.BlankClip(format=vs.RGBS, width=width, height=height, length=length, keep=True)

    def paint(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        assert isinstance(f, vs.VideoFrame)
        out = f.copy()
        for plane, image in zip(range(3), frame(n), strict=True):
            np.asarray(out[plane])[:] = image
        return out

    clip = blank.std.ModifyFrame(blank, paint).resize.Bicubic(format=vs.YUV420P8, matrix=vs.MATRIX_BT709)
    return Frames(tuple(tuple(np.array(shown[plane]) for plane in range(3)) for shown in clip.frames(close=True)))


def encoded(source: Frames, encoder: str) -> Frames:
    """The frames as they come back from an encoder of ENCODERS.

    Raises:
        VsvfiError: there is no ffmpeg, or it fails.
    """
    arguments = ENCODERS[encoder]
    if arguments is None:
        return source
    height, width = source.planes[0][0].shape
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p")
    program, one = [find_ffmpeg(), "-v", "error", "-y"], ("-threads", "1")
    with TemporaryDirectory() as folder:
        path = Path(folder, "video.mkv")
        stream = b"".join(plane.tobytes() for frame in source.planes for plane in frame)
        _run(
            [*program, *raw, "-s", f"{width}x{height}", "-r", "24", "-i", "pipe:", *arguments, *one, str(path)], stream
        )
        decoded = np.frombuffer(_run([*program, "-i", str(path), *raw, "pipe:"], b""), np.uint8)
    sizes = [plane.size for plane in source.planes[0]]
    frames = decoded.reshape(len(source.planes), sum(sizes))
    split = [np.split(frame, np.cumsum(sizes)[:-1]) for frame in frames]
    shapes = [plane.shape for plane in source.planes[0]]
    return Frames(
        tuple(tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)) for parts in split)
    )


def _run(command: list[str], stream: bytes) -> bytes:
    done = subprocess.run(command, input=stream, capture_output=True, check=False)
    if done.returncode:
        raise VsvfiError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
