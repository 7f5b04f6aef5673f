"""Find the programs of a render: this environment's vspipe, and an ffmpeg that has the encoder."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vsvfi.errors import VsvfiError
from vsvfi.media import codecs
from vsvfi.media.program_output import program_output
from vsvfi.packages import find_package, load

_SUFFIX = ".exe" if os.name == "nt" else ""


@dataclass(frozen=True, slots=True)
class Encoder:
    """An ffmpeg and the encoder to use in it.

    Attributes:
        ffmpeg: path of the program.
        name: ffmpeg's name of the encoder.
        note: a message if this is not the requested encoder, else "".
    """

    ffmpeg: str
    name: str
    note: str = ""


def find_vspipe() -> str:
    """Return the path of vspipe, preferably the one of this Python environment.

    That one loads the same packages; another one on PATH is used only if this environment has none.

    Raises:
        VsvfiError: there is none.
    """
    found = find_package("vapoursynth")
    folders = [Path(found.origin).parent] if found is not None and found.origin else []
    for folder in (*folders, Path(sys.executable).parent):
        program = folder / f"vspipe{_SUFFIX}"
        if program.is_file():
            return str(program)
    elsewhere = shutil.which("vspipe")
    if elsewhere is None:
        raise VsvfiError("vspipe was not found; install VapourSynth into this environment: pip install vapoursynth")
    return elsewhere


def vspipe_environment() -> dict[str, str]:
    """Environment variables for vspipe, which finds its Python by the `vapoursynth` command on PATH.

    Waiting torch threads sleep instead of spinning, which would take CPU time from the encoder. All threads share one
    malloc arena: arenas per thread cannot hold large images, so that their pages would be released to the system and
    mapped again in every frame.
    """
    folder = str(Path(sys.executable).parent)
    return {
        "OMP_WAIT_POLICY": "PASSIVE",
        "MALLOC_ARENA_MAX": "1",
        **os.environ,
        "PATH": os.pathsep.join((folder, os.environ.get("PATH", ""))),
    }


def find_ffmpeg() -> str:
    """Return the ffmpeg on PATH, else the one in the imageio-ffmpeg wheel.

    Raises:
        VsvfiError: there is none.
    """
    return next(_ffmpegs(), "") or _no_ffmpeg()


def find_encoder(wanted: str, muxer: str = "matroska") -> Encoder:
    """Return an ffmpeg that has the requested encoder.

    Args:
        wanted: ffmpeg's name of a video encoder, "auto" for the container's default; libx264 replaces missing libx265.
        muxer: ffmpeg's name of the container format.

    Raises:
        VsvfiError: no ffmpeg, none with this encoder, or the container cannot hold its output.
    """
    programs = list(_ffmpegs()) or [_no_ffmpeg()]
    names = {"auto": codecs.video_encoders(muxer), "libx265": codecs.DEFAULT_VIDEO_ENCODERS}.get(wanted, (wanted,))
    for name in names:
        for program in programs:
            codec = video_codecs(program).get(name)
            if codec is None:
                continue
            if not codecs.holds_video(muxer, codec):
                raise VsvfiError(
                    f"encoder {name!r} makes {codec}, which {codecs.ENDINGS[muxer]} cannot hold; "
                    f"use --encoder {' or '.join(codecs.video_encoders(muxer)[:2])}, or write .mkv"
                )
            note = "" if name == names[0] else f"ffmpeg at {program} lacks {names[0]}; using {name} instead"
            return Encoder(program, name, note)
    if any(wanted in encoders(program) for program in programs):
        raise VsvfiError(f"encoder {wanted!r} is not a video encoder; choose one that 'ffmpeg -encoders' marks with V")
    raise VsvfiError(
        f"ffmpeg at {programs[0]} has no encoder {names[0]!r}; choose one that 'ffmpeg -encoders' lists with "
        "--encoder, or install a fuller build: pip install imageio-ffmpeg"
    )


def encoders(ffmpeg: str) -> frozenset[str]:
    """Return the names of an ffmpeg's encoders; empty if it does not run."""
    return frozenset(_listed(ffmpeg))


def video_codecs(ffmpeg: str) -> dict[str, str]:
    """Return the video encoders of an ffmpeg, with the codec of each."""
    return {name: codec for name, (kind, codec) in _listed(ffmpeg).items() if kind == "V"}


@functools.cache
def _listed(ffmpeg: str) -> dict[str, tuple[str, str]]:
    """Encoders of an ffmpeg, each with its kind (V, A, S) and codec."""
    try:
        listed = program_output([ffmpeg, "-hide_banner", "-encoders"])
    except OSError:
        return {}
    found = {}
    for line in listed.decode(errors="replace").splitlines():
        row = line.split(maxsplit=2)
        if len(row) > 2 and row[0][0] in "VAS" and row[1] != "=":
            codec = re.search(r"\(codec (\w+)\)", row[2])
            found[row[1]] = row[0][0], codec[1] if codec else row[1]
    return found


def has_filter(ffmpeg: str, name: str) -> bool:
    """Return whether an ffmpeg has a filter."""
    shown = program_output([ffmpeg, "-hide_banner", "-h", f"filter={name}"])
    return shown.startswith(f"Filter {name}\n".encode())


def ffmpeg_version(ffmpeg: str) -> str:
    """Return the name and version that an ffmpeg states."""
    return (
        program_output([ffmpeg, "-version"]).decode(errors="replace").partition("\n")[0].split(" Copyright")[0].strip()
    )


def _ffmpegs() -> Iterator[str]:
    on_path = shutil.which("ffmpeg")
    if on_path is not None:
        yield on_path
    wheel = load("imageio_ffmpeg")
    if isinstance(wheel, str):
        return
    try:
        found = str(wheel.get_ffmpeg_exe())
    except Exception:  # the wheel of a platform without a binary, or a substitute
        return
    yield found


def _no_ffmpeg() -> str:
    raise VsvfiError(
        "ffmpeg was not found; install it with your system's package manager, or: pip install imageio-ffmpeg"
    )
