"""Small files of the containers that are hard to read, and a passage through them without a network, for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import vapoursynth as vs

from tests.cli.media_files import ffmpeg, make, run_ffmpeg
from vsvfi.cli.piping import Piped, fit
from vsvfi.cli.scripting import open_video, show
from vsvfi.clip.select import Selection
from vsvfi.media.encoding import Facts, Part, Quality, Rewriting, container, ffmpeg_arguments, planned
from vsvfi.media.losses import pixel_formats
from vsvfi.media.opus import forgets_delay
from vsvfi.media.pixels import parse, taken
from vsvfi.media.probe import Media, probe
from vsvfi.media.slow_motion import slow_motion
from vsvfi.media.stretch import Stretch
from vsvfi.media.verify import verify
from vsvfi.plan.timed import timed

VIDEO = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=24000/1001:duration=2")
AUDIO = ("-f", "lavfi", "-i", "sine=duration=2")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-x264-params", "bframes=3:b-adapt=0:keyint=24")


def _plain(name: str, *codecs: object, audio: bool = True) -> Callable[[Path], Path]:
    return lambda folder: make(folder / name, *VIDEO, *(AUDIO if audio else ()), *codecs)


def _from_mp4(name: str, *options: object, before: tuple[object, ...] = ()) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        whole = make(folder / "whole.mp4", *VIDEO, *AUDIO, *X264, "-c:a", "aac")
        return make(folder / name, *before, "-i", whole, *options)

    return build


def _cut(name: str, codecs: tuple[object, ...], begin: float, end: float) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        data = make(folder / f"whole{Path(name).suffix}", *VIDEO, *AUDIO, *codecs).read_bytes()
        path = folder / name
        path.write_bytes(data[int(begin * len(data)) // 188 * 188 : int(end * len(data))])
        return path

    return build


def _late(name: str, seconds: float) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        whole = make(folder / "whole.mp4", *VIDEO, *AUDIO, *X264, "-c:a", "aac")
        return make(
            folder / name, "-itsoffset", seconds, "-i", whole, "-i", whole, "-map", "0:v", "-map", "1:a", "-c", "copy"
        )

    return build


def _variable(name: str) -> Callable[[Path], Path]:
    """24000/1001 with frames left out here and there; and audio that begins later."""
    fewer = ("-vf", "select='not(between(mod(n,24),15,17))'", "-fps_mode", "vfr")
    late = ("-itsoffset", 0.25, *AUDIO)
    return lambda folder: make(folder / name, *VIDEO, *late, *fewer, *X264, "-c:a", "aac")


OPEN_GOP = ("-c:v", "libx264", "-preset", "veryfast", "-x264-params", "open-gop=1:keyint=16:bframes=3", "-c:a", "aac")

FILES: dict[str, tuple[Callable[[Path], Path], int]] = {
    "elementary .264": (_plain("a.264", *X264, audio=False), 48),
    "elementary .hevc": (
        _plain("a.hevc", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", audio=False),
        48,
    ),
    "elementary .m2v": (_plain("a.m2v", "-c:v", "mpeg2video", "-bf", "2", audio=False), 48),
    "H.264 in AVI": (_from_mp4("a.avi", "-c:v", "copy", "-c:a", "mp3"), 48),
    "Xvid in AVI": (_plain("a.avi", "-c:v", "mpeg4", "-bf", "2", "-c:a", "mp3"), 48),
    "AVI, an empty packet": (_plain("a.avi", "-c:v", "mpeg4", "-c:a", "mp3"), 49),
    "VOB": (_plain("a.vob", "-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2"), 48),
    "MPG": (_plain("a.mpg", "-c:v", "mpeg2video", "-bf", "2", "-c:a", "ac3"), 48),
    "H.264 in WMV": (_plain("a.wmv", *X264, "-c:a", "wmav2"), 48),
    "WMV2": (_plain("a.wmv", "-c:v", "wmv2", "-c:a", "wmav2"), 48),
    "TS, late video": (_late("a.ts", 0.6), 48),
    "TS, early video": (_late("a.ts", -0.6), 48),
    "TS, cut at its end": (_cut("a.ts", (*X264, "-c:a", "aac"), 0, 0.7), -1),
    "TS, cut in an open GOP": (_cut("a.ts", OPEN_GOP, 0.3, 1), -1),
    "MP4": (_plain("a.mp4", *X264, "-c:a", "aac"), 48),
    "MP4, edit list": (_from_mp4("a.mp4", "-c", "copy", before=("-ss", "1.3")), -1),
    "MOV, edit list": (_from_mp4("a.mov", "-c", "copy", before=("-ss", "1.3")), -1),
    "Matroska": (_plain("a.mkv", *X264, "-c:a", "flac"), 48),
    "Matroska, late video": (_late("a.mkv", 0.333), 48),
    "Matroska, variable rate": (_variable("a.mkv"), 0),
    "MP4, variable rate": (_variable("a.mp4"), 0),
    "Opus in Matroska": (_plain("a.mkv", *X264, "-c:a", "libopus"), 48),
    "Opus in MP4": (_plain("a.mp4", *X264, "-c:a", "libopus"), 48),
}
"""By name: how to make it, and the number of frames; -1 where a decoder has to be asked, 0 where it varies."""


HELD = ("AVI, an empty packet",)
"""Those of `FILES` in which empty packets repeat a frame."""


def build(name: str, folder: Path) -> tuple[Path, int]:
    """Make one of `FILES`; also the number of frames that ffmpeg shows of it."""
    maker, frames = FILES[name]
    path = maker(folder)
    if frames <= 0:
        counted = subprocess.run(
            [ffmpeg(), "-v", "quiet", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framecrc", "-"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        frames = sum(1 for line in counted.stdout.splitlines() if not line.startswith("#"))
    return path, frames


VARIABLE_AT = Fraction(60)
"""Frames per second for files of variable rate."""


def shown_clip(media: Media, index: Path) -> vs.VideoNode:
    """The clip that render.vpy passes to `interpolate()`; at a constant rate where that does it by times."""
    clip = open_video(str(media.path), str(index), media.video.index, media.decoder, media.bestsource)
    clip = show(clip, str(media.rate), media.decoded, media.hidden, media.turn, media.held, timed=bool(media.times))
    if not media.times:
        return clip
    timeline = timed(media.times, clip.num_frames, VARIABLE_AT)
    placed = Selection(timeline).aligned(clip, 0)
    return placed.std.AssumeFPS(fpsnum=VARIABLE_AT.numerator, fpsden=VARIABLE_AT.denominator)


def raw(piped: Piped) -> Iterator[bytes]:
    """The frames as vspipe writes them, and ffmpeg reads them."""
    order = (1, 2, 0) if piped.clip.format.color_family == vs.RGB else range(piped.clip.format.num_planes)
    for number in range(piped.clip.num_frames):
        frame = piped.clip.get_frame(number)
        planes = [np.asarray(frame[plane]) for plane in order]
        planes += [] if piped.alpha is None else [np.asarray(piped.alpha.get_frame(number)[0])]
        yield b"".join(plane.tobytes() for plane in planes)


def passage(
    source: Path,
    output: Path,
    part: Part = Part(),  # noqa: B008 - immutable
    program: str | None = None,
    encoder: str = "libx264",
    crf: float = 10,
    slow: Stretch | None = None,
) -> Media:
    """Through everything but `interpolate()`: source filter, pipe, ffmpeg, with the streams of the source.

    In slow motion, each frame is repeated; only factor and audio of `slow` count.
    """
    if not hasattr(vs.core, "lsmas"):
        pytest.skip("no source filter")
    media = probe(source) if slow is None else slow_motion(probe(source), slow.factor, slow.audio)
    clip = shown_clip(media, output.with_suffix(".lwi"))
    if slow is not None:
        clip = vs.core.std.Interleave([clip] * int(slow.factor))
    takes = taken(pixel_formats(ffmpeg(), encoder), encoder, container(output))
    source = parse(media.pixels)
    piped = fit(clip, [asdict(one) for one in takes], source.bits if source else None)
    length, rate = clip.num_frames, Fraction(clip.fps)
    names = (piped.pixels, piped.encoded)
    facts = Facts(
        clip.width, clip.height, length, rate, length, rate, piped.clip.format.subsampling_h == 1, {}, "cpu", *names
    )
    quality = Quality(encoder, crf, "ultrafast") if encoder.startswith("libx") else Quality(encoder)
    muxer = container(output)
    forgets = forgets_delay(program or ffmpeg(), muxer)
    arguments = ffmpeg_arguments(
        facts, quality, media, part, output, muxer, rewriting=Rewriting(output.parent, forgets)
    )
    selected = piped.part(part.first, part.last)
    with subprocess.Popen([program or ffmpeg(), *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for planes in raw(selected):
            process.stdin.write(planes)
        process.stdin.close()
        told = process.stderr.read().decode()
    assert process.returncode == 0, told
    verify(output, planned(facts, media, part, container(output)))
    return media


def frame_times(path: Path) -> list[float]:
    """When a file's frames are shown, in seconds, decoded on one thread; their dts where they have no pts."""
    with av.open(str(path)) as opened:
        opened.flags &= ~av.container.Flags.gen_pts.value
        video = opened.streams.video[0]
        video.codec_context.thread_count = 1
        frames = [frame.pts if frame.pts is not None else frame.dts for frame in opened.decode(video)]
        return [float(stamp * video.time_base) for stamp in frames if stamp is not None]


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Times and contents of the packets of audio; without those that an edit list hides beyond encoder delay."""
    with av.open(str(path)) as opened:
        if not opened.streams.audio:
            return []
        packets = [packet for packet in opened.demux(opened.streams.audio[0]) if packet.pts is not None]
        hidden = sum(packet.is_discard for packet in packets)
        return [
            (packet.pts * Fraction(packet.time_base), bytes(packet))
            for packet in packets[hidden if hidden > 1 else 0 :]
        ]


def onset(path: Path) -> float:
    """Seconds from the first frame to the moment at which the audio grows loud, as ffmpeg decodes it."""
    how = ("-map", "0:a:0", "-af", "aresample=async=1:min_hard_comp=0.01:first_pts=0", "-ar", 48000, "-ac", 1)
    done = run_ffmpeg("-v", "error", "-copyts", "-i", path, *how, "-f", "s16le", "-c:a", "pcm_s16le", "-")
    loud = np.abs(np.frombuffer(done.stdout, np.int16).astype(int)) > 800
    return float(np.argmax(loud)) / 48000 - frame_times(path)[0]


def coarsest(path: Path) -> Fraction:
    """The coarser of the time bases of video and audio, in seconds."""
    with av.open(str(path)) as opened:
        return max(Fraction(stream.time_base) for stream in (opened.streams.video[0], *opened.streams.audio))
