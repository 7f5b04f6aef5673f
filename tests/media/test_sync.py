"""Video and audio of every container keep their offset, at the right rate, with all frames and no others."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from pathlib import Path

import av
import numpy as np
import pytest
import vapoursynth as vs

from tests.cli.media_files import ffmpeg, make, run_ffmpeg
from tests.media.containers import (
    AUDIO,
    FILES,
    HELD,
    VARIABLE_AT,
    VIDEO,
    X264,
    audio_packets,
    build,
    coarsest,
    frame_times,
    onset,
    passage,
    shown_clip,
)
from vsvfi.errors import VsvfiError
from vsvfi.media.encoding import Part
from vsvfi.media.opus import delay_of, forgets_delay
from vsvfi.media.probe import probe


def decoded(path: Path, mode: str = "passthrough") -> np.ndarray:
    """All frames as ffmpeg shows them, in gray."""
    raw = ("-map", "0:v:0", "-fps_mode", mode, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    done = run_ffmpeg("-v", "quiet", "-i", path, *raw)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 48, 64).astype(np.int16)


@pytest.mark.parametrize("name", FILES)
def test_the_rate_is_constant_and_exact(tmp_path: Path, name: str) -> None:
    source, frames = build(name, tmp_path)
    media = probe(source)
    assert (media.rate, media.constant, media.frames) == (Fraction(24000, 1001), "variable" not in name, frames)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
@pytest.mark.parametrize("name", FILES)
def test_video_and_audio_stay_as_far_apart(tmp_path: Path, name: str, ending: str) -> None:
    source, frames = build(name, tmp_path)
    output = tmp_path / f"out{ending}"
    passage(source, output)
    times = frame_times(output)
    before, after = decoded(source, "cfr" if name in HELD else "passthrough"), decoded(output)
    if "variable" in name:  # each output frame shows the last source frame that begins before it
        begins = np.subtract(frame_times(source), frame_times(source)[0])
        shown = [np.searchsorted(begins, n / VARIABLE_AT + 1e-6, "right") - 1 for n in range(len(times))]
        before, frames = before[shown], len(shown)
        assert len(times) == pytest.approx(2 * VARIABLE_AT, abs=2)
    assert len(times) == frames
    assert abs(before[:frames] - after).mean() < 8, "other frames than those shown"
    before_cut = audio_packets(source)
    if not before_cut:
        assert times[0] < 0.1
    elif ending == ".mkv" or "WMV" not in name:  # MP4 cannot hold WMA: see below
        assert abs(audio_packets(output)[0][0] - before_cut[0][0] - moved(source, output)) <= tolerance(output)


def moved(source: Path, output: Path, frame: int = 0) -> Fraction:
    """By how much the video was moved."""
    return Fraction(frame_times(output)[0] - frame_times(source)[frame])


def tolerance(output: Path) -> Fraction:
    """A millisecond in Matroska, a unit of the time base elsewhere; and the floats that times pass through."""
    return (Fraction(1, 1000) if output.suffix == ".mkv" else coarsest(output)) + Fraction(1, 500_000)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
@pytest.mark.parametrize("name", ["Xvid in AVI", "TS, late video", "MP4, edit list", "Opus in Matroska"])
def test_a_part_keeps_the_distance(tmp_path: Path, name: str, ending: str) -> None:
    """The first audio packet of a part is one of the source's, and was moved as far as the video."""
    source, _ = build(name, tmp_path)
    output = tmp_path / f"out{ending}"
    passage(source, output, Part(13, 40))
    time, content = audio_packets(output)[0]
    same = [at for at, given in audio_packets(source) if given.endswith(content)]  # TS: less the ADTS header
    distance = moved(source, output, 13)
    assert min(abs(time - at - distance) for at in same) <= tolerance(output)


@pytest.mark.parametrize(
    ("codec", "ending"),
    [("flac", ".mkv"), ("flac", ".mp4"), ("pcm_s16le", ".mov"), ("alac", ".mov"), ("wavpack", ".mkv"), ("tta", ".mkv")],
)
@pytest.mark.parametrize("part", [Part(13, 36), Part(0, 10), Part(26, None)])
def test_lossless_audio_is_cut_at_the_sample(tmp_path: Path, codec: str, ending: str, part: Part) -> None:
    """The samples count up, so that each one says where it was."""
    counted = (np.arange(2 * 48_000) % 30_000).astype("<i2")
    (tmp_path / "a.raw").write_bytes(counted.tobytes())
    tone = ("-f", "s16le", "-ar", 48_000, "-ac", 1, "-i", tmp_path / "a.raw")
    picture = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2")
    source = make(tmp_path / f"a{'.mkv' if codec == 'flac' else ending}", *picture, *tone, *X264, "-c:a", codec)
    output = tmp_path / f"out{ending}"
    passage(source, output, part)
    done = run_ffmpeg("-v", "error", "-i", output, "-map", "0:a:0", "-f", "s16le", "-c:a", "pcm_s16le", "-")
    first = part.first * 48_000 // 25
    assert np.array_equal(np.frombuffer(done.stdout, "<i2"), counted[first : first + part.count(50) * 48_000 // 25])
    assert abs(audio_packets(output)[0][0] - Fraction(frame_times(output)[0])) <= tolerance(output)


@pytest.mark.parametrize("codec", ["pcm_s16le", "libopus", "wmav2"])
@pytest.mark.parametrize("ending", [".mp4", ".webm", ".mkv"])
def test_audio_that_is_encoded_anew_is_heard_at_its_time(tmp_path: Path, codec: str, ending: str) -> None:
    tone = ("-f", "lavfi", "-i", "aevalsrc='sin(880*2*PI*t)*gte(t,1)':duration=2:s=48000")
    source = make(tmp_path / ("a.wmv" if codec == "wmav2" else "a.mkv"), *VIDEO, *tone, *X264, "-c:a", codec)
    output = tmp_path / f"out{ending}"
    passage(source, output, encoder="libvpx-vp9" if ending == ".webm" else "libx264")
    assert abs(onset(output) - onset(source)) < 0.003  # lossy codecs blur it


@pytest.mark.parametrize(("codec", "ending"), [("pcm_s16le", ".mp4"), ("aac", ".webm"), ("flac", ".avi")])
def test_audio_of_a_part_that_is_encoded_anew_is_heard_at_its_time(tmp_path: Path, codec: str, ending: str) -> None:
    """A tone that begins a quarter of a second after the part does."""
    tone = ("-f", "lavfi", "-i", "aevalsrc='sin(880*2*PI*t)*gte(t,1)':duration=2:s=48000")
    source = make(tmp_path / "a.mkv", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=24:d=2", *tone, *X264, "-c:a", codec)
    output = tmp_path / f"out{ending}"
    passage(source, output, Part(18, 41), encoder="libvpx-vp9" if ending == ".webm" else "libx264")
    assert abs(onset(output) - frame_times(output)[0] - 0.25) < 0.003


def test_empty_packets_of_theora_are_frames(tmp_path: Path) -> None:
    source = make(tmp_path / "a.ogv", *VIDEO, "-c:v", "libtheora", "-c:a", "libvorbis")
    media = passage(source, tmp_path / "out.mkv")
    assert (media.frames, media.decoded, media.constant, media.rate) == (48, 48, True, Fraction(24000, 1001))
    assert len(frame_times(tmp_path / "out.mkv")) == 48


def exact() -> None:
    if not hasattr(vs.core, "bs"):
        pytest.skip("vapoursynth-bestsource is not installed")


def test_times_before_zero_are_read_from_matroska(tmp_path: Path) -> None:
    """Matroska cannot express them, so that the first frames have no time; lsmas would give other frames."""
    exact()
    whole = make(tmp_path / "whole.mp4", *VIDEO, *AUDIO, *X264, "-c:a", "aac")
    negative = ("-itsoffset", -0.5, "-i", whole, "-c", "copy", "-avoid_negative_ts", "disabled")
    source = make(tmp_path / "a.mkv", *negative)
    output = tmp_path / "out.mkv"
    media = passage(source, output)
    assert (media.frames, media.constant, media.rate) == (48, True, Fraction(24000, 1001))
    assert abs(decoded(whole) - decoded(output)).mean() < 8
    apart = audio_packets(output)[0][0] - audio_packets(whole)[0][0]
    assert abs(apart - Fraction(frame_times(output)[0] - frame_times(whole)[0])) <= tolerance(output)


def test_frames_of_a_program_stream_are_exact_after_a_jump(tmp_path: Path) -> None:
    """A part or a chunk begins with one; lsmas gives other frames there."""
    exact()
    source, _ = build("MPG", tmp_path)
    clip = shown_clip(probe(source), tmp_path / "index")
    wanted = decoded(source)
    numbers = [30, 45, 20, 36, 10, 47, 0, 25]
    read = np.stack([np.asarray(clip.get_frame(number)[0]) for number in numbers]).astype(np.int16)
    assert abs(read - wanted[numbers]).max() < 40  # limited and full range
    # a neighbour differs by far more
    assert abs(read - wanted[[number - 1 for number in numbers]]).max() > 80


def test_recordings_joined_by_their_bytes_are_refused(tmp_path: Path) -> None:
    """The remedy of the message works."""
    once = make(tmp_path / "a.ts", *VIDEO, *AUDIO, *X264, "-c:a", "aac").read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(once + once)
    with pytest.raises(
        VsvfiError, match=r"its timestamps jump from .* at frame 48; .* -fflags \+genpts -i FILE -c copy"
    ):
        probe(joined)
    media = probe(make(tmp_path / "joined.mkv", "-fflags", "+genpts", "-i", joined, "-c", "copy"))
    assert (media.frames, media.constant) == (96, True)


@pytest.mark.parametrize("ending", [".mp4", ".nut", ".mkv"])
def test_opus_of_matroska_is_heard_within_half_a_millisecond(tmp_path: Path, ending: str) -> None:
    """Matroska states its time in milliseconds, and so its delay of 6.5 ms, which every reader rounds."""
    source, _ = build("Opus in Matroska", tmp_path)
    output = tmp_path / f"out{ending}"
    passage(source, output)
    with av.open(str(source)) as opened:
        delay = delay_of("opus", opened.streams.audio[0].codec_context.extradata)
    before = audio_packets(source)[0][0] + Fraction(floor(1000 * delay + Fraction(1, 2)), 1000) - delay
    exact = before + moved(source, output)
    rounded = Fraction(1, 1000) if ending == ".mkv" else Fraction(1, 2000) + coarsest(output)
    assert abs(audio_packets(output)[0][0] - exact) <= rounded + Fraction(1, 500_000)


def test_the_muxer_is_tried() -> None:
    assert not forgets_delay(ffmpeg(), "mp4")
    assert not forgets_delay("no-such-ffmpeg", "webm")
    assert (delay_of("opus", b"OpusHead" + bytes([1, 2, 56, 1])), delay_of("aac", b"")) == (Fraction(312, 48000), 0)
