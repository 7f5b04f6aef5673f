"""Slow motion: frames, audio, subtitles and chapters stay together."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.cli.media_files import ffmpeg, flash_video, luma, make, packets, tone_start
from tests.media.containers import passage
from vsvfi.cli.programs import has_filter
from vsvfi.media.dvd_subtitles import shown_for, stretched
from vsvfi.media.encoding import Part
from vsvfi.media.probe import Media, Stream, probe
from vsvfi.media.slow_motion import slow_motion
from vsvfi.media.stretch import SlowAudio, Stretch


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """White from one second on, when a tone, a subtitle and a chapter begin; audio begins 0.1 s before the frames."""
    folder = tmp_path_factory.mktemp("film")
    words, chapters = folder / "a.srt", folder / "a.txt"
    words.write_text("1\n00:00:00,400 --> 00:00:00,500\nearly\n\n2\n00:00:01,000 --> 00:00:01,500\nnow\n")
    chapters.write_text(
        ";FFMETADATA1\ntitle=a=b\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=100\nEND=1000\ntitle=dark\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2100\ntitle=bright\\; loud\n"
    )
    video = flash_video(folder / "v.mkv", rate="10", offset=0.1)
    more = ("-map", 0, "-map", 1, "-map_metadata", 2, "-map_chapters", 2, "-c", "copy", "-c:s", "srt")
    return make(folder / "film.mkv", "-i", video, "-i", words, "-i", chapters, *more)


def subtitles(path: Path) -> list[tuple[float, float, int]]:
    """Time, duration and size of each packet; in MP4, those of two bytes show nothing."""
    with av.open(str(path)) as opened:
        found = [packet for packet in opened.demux(opened.streams.subtitles[0]) if packet.size]
        return [(float(p.pts * p.time_base), float(p.duration * p.time_base), p.size) for p in found]


def shown(path: Path) -> tuple[list[tuple[float, float]], list[tuple[str, float, float]], str]:
    """Subtitles (begin, end), chapters (title, begin, end), and the file's title."""
    with av.open(str(path)) as opened:
        chapters = [
            (chapter["metadata"]["title"], *(float(chapter[name] * chapter["time_base"]) for name in ("start", "end")))
            for chapter in opened.chapters()
        ]
        title = opened.metadata["title"]
    return [(time, time + lasts) for time, lasts, size in subtitles(path) if size > 2], chapters, title


@pytest.mark.parametrize(
    ("audio", "ending", "factor"), [("atempo", ".mkv", 3), ("atempo", ".mp4", 2), ("rubberband", ".webm", 3)]
)
def test_all_is_stretched_together(film: Path, tmp_path: Path, audio: SlowAudio, ending: str, factor: int) -> None:
    if not has_filter(ffmpeg(), audio):
        pytest.skip(f"ffmpeg has no {audio}")
    output = tmp_path / f"out{ending}"
    encoder = "libvpx-vp9" if ending == ".webm" else "libx264"
    passage(film, output, slow=Stretch(Fraction(factor), Fraction(0), audio), encoder=encoder)
    flash = 0.9 * factor
    frames = [time for time, _ in packets(output, "0:v:0")]
    assert len(frames) == 20 * factor
    assert frames[-1] - frames[0] == pytest.approx(2 * factor - 0.1, abs=0.002)
    assert [value > 128 for value in luma(output)] == [n >= 9 * factor for n in range(20 * factor)]
    assert tone_start(output) == pytest.approx(flash, abs=0.06)
    times = packets(output, "0:a:0")
    assert times[0][0] == pytest.approx(0, abs=0.05 * factor)
    assert sum(times[-1]) == pytest.approx(2 * factor, abs=0.1 * factor)
    if ending == ".webm":
        return
    words, chapters, title = shown(output)
    assert title == "a=b"
    expected = [(factor * begin, factor * end) for begin, end in ((0.3, 0.4), (0.9, 1.4))]
    assert words == [pytest.approx(one, abs=0.002) for one in expected]
    assert [name for name, _, _ in chapters] == ["dark", "bright; loud"]
    assert chapters[1][1] == pytest.approx(flash, abs=0.002)
    assert chapters[0][1] == 0


def test_a_part_in_slow_motion(film: Path, tmp_path: Path) -> None:
    """Frames 24 to 39 of 60, at 10 fps: 2.4 s to 4 s, with the flash at 2.7 s."""
    output = tmp_path / "part.mkv"
    passage(film, output, Part(24, 39), slow=Stretch(Fraction(3), Fraction(0)))
    assert [value > 128 for value in luma(output)] == [n >= 27 for n in range(24, 40)]
    assert tone_start(output) == pytest.approx(0.3, abs=0.045)
    assert sum(packets(output, "0:a:0")[-1]) == pytest.approx(1.6, abs=0.1)
    words, chapters, _ = shown(output)
    assert words == [pytest.approx((0.3, 1.8), abs=0.002)]
    assert chapters[0] == ("dark", 0, pytest.approx(0.3, abs=0.002))
    assert chapters[1] == ("bright; loud", pytest.approx(0.3, abs=0.002), pytest.approx(1.6, abs=0.002))


def test_audio_is_dropped_on_request(film: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    passage(film, output, slow=Stretch(Fraction(2), Fraction(0), "drop"))
    media = probe(output)
    assert (media.frames, media.rate, media.audio, len(media.subtitles)) == (40, 10, (), 1)


def test_times_of_a_stretched_source() -> None:
    stamps = (Fraction(5), Fraction(6), Fraction(8))
    media = Media(
        *(Path("a.mkv"), 2, Fraction(5), Fraction(1), False),
        streams=(Stream(1, "audio", "aac", Fraction(4), end=Fraction(9)),),
        times=stamps,
        stamps=stamps,
    )
    slow = slow_motion(media, Fraction(3, 2), "atempo")
    assert (slow.start, slow.rate, slow.times) == (0, Fraction(2, 3), (0, Fraction(3, 2), Fraction(9, 2)))
    assert slow.stamps == slow.times
    assert (slow.streams[0].start, slow.streams[0].end) == (0, 6)
    assert slow.stretch is not None
    assert slow.stretch.origin(Fraction(9, 2)) == 8


@pytest.mark.parametrize(
    ("factor", "chain"),
    [
        (Fraction(3, 2), "atempo=0.666666667"),
        (Fraction(2), "atempo=0.5"),
        (Fraction(5), "atempo=0.5,atempo=0.5,atempo=0.8"),
    ],
)
def test_a_chain_of_filters_within_their_limits(factor: Fraction, chain: str) -> None:
    assert f"first_pts=0,{chain},asetpts" in Stretch(factor, Fraction(0)).audio_filter()


def test_times_inside_dvd_subtitles() -> None:
    content = bytes((0, 22, 0, 4)) + bytes((0, 0, 0, 10, 1, 255)) + bytes((0, 90, 0, 10, 2, 255))
    assert shown_for(content) == Fraction(90 * 1024, 90_000)
    assert shown_for(stretched(content, Fraction(5, 2))) == Fraction(225 * 1024, 90_000)
    assert len(stretched(content, Fraction(5000))) == len(content)
