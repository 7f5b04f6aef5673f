"""Everything in a container beyond pixels: one test for each row of the table in docs/render.md."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.cli.media_files import listing, make, moving_video, run_ffmpeg
from tests.media.containers import AUDIO, VIDEO, X264, passage
from vsvfi.media.carried import left_behind
from vsvfi.media.dvd_subtitles import begun, shown_for
from vsvfi.media.encoding import Part
from vsvfi.media.probe import Media, Stream, probe, turn_of


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A video with a title, two audio streams, subtitles and chapters."""
    words, chapters = tmp_path / "a.srt", tmp_path / "a.txt"
    words.write_text("1\n00:00:00,200 --> 00:00:01,800\nlong\n\n2\n00:00:01,900 --> 00:00:02,000\nlate\n")
    chapters.write_text(
        ";FFMETADATA1\ntitle=the film\n"
        + "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={t}\nEND={t + 1000}\ntitle=c{t}\n" for t in (0, 1000))
    )
    video = make(tmp_path / "p.mkv", *VIDEO, *X264)
    tags = (
        "-metadata:s:v:0",
        "title=main",
        "-metadata:s:v:0",
        "language=jpn",
        "-metadata:s:a:0",
        "language=deu",
        "-metadata:s:a:1",
        "title=talk",
    )
    marks = ("-disposition:a:0", "0", "-disposition:a:1", "default+comment", "-disposition:s:0", "forced")
    maps = ("-map", "0:v", "-map", "1:a", "-map", "1:a", "-map", "2:s", "-map_metadata", "3", "-map_chapters", "3")
    inputs = ("-i", video, *AUDIO, "-i", words, "-i", chapters)
    return make(tmp_path / "film.mkv", *inputs, *maps, "-c:v", "copy", "-c:a", "aac", "-c:s", "srt", *tags, *marks)


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_titles_languages_dispositions_and_chapters(film: Path, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"out{ending}"
    passage(film, output)
    media = probe(output)
    first, second = media.of("audio")
    assert (first.language, first.disposition) in (("deu", "0"), ("ger", "0"))
    assert second.disposition in ("default+comment", "default")
    assert media.of("subtitle")[0].disposition in ("forced", "default+forced")  # in MP4 one of a kind is always on
    assert media.video.language == "jpn"
    if ending == ".mkv":
        assert (media.video.title, second.title) == ("main", "talk")
    with av.open(str(output)) as opened:
        assert [chapter["metadata"]["title"] for chapter in opened.chapters()] == ["c0", "c1000"]
        assert opened.metadata["title"] == "the film"


@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_subtitles_that_begin_before_a_part_are_shown_at_its_start(film: Path, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"part{ending}"
    passage(film, output, Part(24, 35))
    with av.open(str(output)) as opened:
        packets = [
            packet for packet in opened.demux(opened.streams.subtitles[0]) if packet.size and b"long" in bytes(packet)
        ]
        assert len(packets) == 1
        start, duration = (float(value * packets[0].time_base) for value in (packets[0].pts, packets[0].duration))
    assert start == pytest.approx(0, abs=0.002)
    assert duration == pytest.approx(1.8 - 24 * 1001 / 24000, abs=0.003) or duration == pytest.approx(
        12 * 1001 / 24000, abs=0.05
    )


def presentation_graphics(path: Path, shown: list[tuple[float, float]]) -> Path:
    """A Blu-ray subtitle file: a square that is shown from the first to the second time of each pair."""

    def segment(time: float, kind: int, data: bytes = b"") -> bytes:
        return b"PG" + struct.pack(">IIBH", round(time * 90_000), 0, kind, len(data)) + data

    def composition(number: int, objects: bytes, count: int) -> bytes:
        return struct.pack(">HHBHBBBB", 64, 48, 0x10, number, 0x80 if count else 0, 0, 0, count) + objects

    window = struct.pack(">BBHHHH", 1, 0, 4, 4, 8, 8)
    run = bytes((0, 0x88, 1, 0, 0)) * 8
    square = struct.pack(">HBB", 0, 0, 0xC0) + (len(run) + 4).to_bytes(3) + struct.pack(">HH", 8, 8) + run
    data = b""
    for number, (begin, end) in enumerate(shown):
        data += segment(begin, 0x16, composition(2 * number, struct.pack(">HBBHH", 0, 0, 0, 4, 4), 1))
        data += segment(begin, 0x17, window) + segment(begin, 0x14, bytes((0, 0, 1, 200, 128, 128, 255)))
        data += segment(begin, 0x15, square) + segment(begin, 0x80)
        data += segment(end, 0x16, composition(2 * number + 1, b"", 0)) + segment(end, 0x17, window)
        data += segment(end, 0x80)
    path.write_bytes(data)
    return path


def test_bitmap_subtitles_are_cut_with_a_part(tmp_path: Path) -> None:
    words = presentation_graphics(tmp_path / "a.sup", [(0.2, 1.4), (1.45, 1.6), (1.9, 2)])
    video = make(tmp_path / "p.mkv", *VIDEO, *X264)
    film = make(tmp_path / "film.mkv", "-i", video, "-i", words, "-map", 0, "-map", 1, "-c", "copy")
    assert [stream.codec for stream in probe(film).of("subtitle")] == ["hdmv_pgs_subtitle"]
    passage(film, tmp_path / "part.mkv", Part(24, 40))
    begin = 24 * 1001 / 24000
    source, output = (shown_bitmaps(path) for path in (film, tmp_path / "part.mkv"))
    times = [time for time, _ in output]
    expected = [0.0, *(time - begin for time, _ in source if begin < time < 41 * 1001 / 24000)]
    assert times == pytest.approx(expected, abs=0.0021)
    assert len(times) == 5
    assert [data for _, data in output] == [data for _, data in source[:5]]


def dvd_subtitles(path: Path, shown: list[tuple[float, float]]) -> Path:
    """A file with DVD subtitles, which ffmpeg leaves on for twelve minutes, cut to begin and last as given."""
    words = presentation_graphics(path.with_suffix(".sup"), [(begin, begin + 0.1) for begin, _ in shown])
    long = make(path.with_suffix(".long.mkv"), "-i", words, "-c:s", "dvdsub")
    with av.open(str(long)) as given, av.open(str(path), "w") as written:
        stream = written.add_stream_from_template(given.streams[0])
        packets = [packet for packet in given.demux() if packet.size]
        for packet, (begin, lasts) in zip(packets, shown, strict=True):
            delay = round(lasts * 90_000 / 1024).to_bytes(2)
            content = bytes(packet)
            changed = av.Packet(content[:-6] + delay + content[-4:] if lasts else content)
            changed.stream, changed.time_base = stream, Fraction(1, 1000)
            changed.pts = changed.dts = round(1000 * begin)
            changed.duration = round(1000 * lasts)
            written.mux(changed)
    return path


@pytest.mark.parametrize("source", [".mkv", ".vob"])
@pytest.mark.parametrize(("lasts", "left"), [(1.0, 0.5), (0.0, 745.14), (0.4, None)])
def test_dvd_subtitles_that_begin_before_a_part_are_shown_for_the_rest(
    tmp_path: Path, source: str, lasts: float, left: float | None
) -> None:
    begin = 24 * 1001 / 24000
    words = dvd_subtitles(tmp_path / "words.mkv", [(0.0, 0.0), (begin - 0.5, lasts), (1.7, 0.2)])
    video = make(tmp_path / "p.mkv", *VIDEO, "-c:v", "mpeg2video")
    film = make(tmp_path / f"film{source}", "-i", video, "-i", words, "-map", 0, "-map", 1, "-c", "copy")
    assert [stream.codec for stream in probe(film).of("subtitle")] == ["dvd_subtitle"]
    passage(film, tmp_path / "part.mkv", Part(24, 45))
    found = [(time, float(shown_for(data) or 0)) for time, data in shown_bitmaps(tmp_path / "part.mkv")]
    expected = [(1.7 - begin, 0.2)] if left is None else [(0.0, left), (1.7 - begin, 0.2)]
    assert [time for time, _ in found] == pytest.approx([time for time, _ in expected], abs=0.002)
    assert [shown for _, shown in found] == pytest.approx([shown for _, shown in expected], abs=0.03)


def test_damaged_dvd_subtitles_state_nothing() -> None:
    whole = bytes.fromhex("00130004 0000000d 01030000ff 0064000d 02ff")
    assert shown_for(whole) == 100 * Fraction(1024, 90_000)
    assert shown_for(begun(whole, Fraction(1))) == (100 - 88) * Fraction(1024, 90_000)
    assert shown_for(begun(whole, Fraction(9))) == 0
    for length in range(len(whole)):
        assert shown_for(whole[:length]) in (None, 100 * Fraction(1024, 90_000))
        assert len(begun(whole[:length], Fraction(1))) == length
    assert shown_for(bytes.fromhex("000a0004 00000004 77ff")) is None


def shown_bitmaps(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as opened:
        packets = [packet for packet in opened.demux(opened.streams.subtitles[0]) if packet.size]
        return [(float(packet.pts * packet.time_base), bytes(packet)) for packet in packets]


@pytest.mark.parametrize("source", [".mkv", ".mp4"])
@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_cover_art(tmp_path: Path, source: str, ending: str) -> None:
    art = make(tmp_path / "art.png", "-f", "lavfi", "-i", "testsrc=size=32x32", "-frames:v", "1")
    plain = make(tmp_path / f"plain{source}", *VIDEO, *X264)
    if source == ".mkv":
        film = make(
            tmp_path / "film.mkv",
            "-i",
            plain,
            "-c",
            "copy",
            "-attach",
            art,
            "-metadata:s:t",
            "mimetype=image/png",
            "-metadata:s:t",
            "filename=cover.png",
        )
    else:
        film = make(
            tmp_path / "film.mp4",
            "-i",
            plain,
            "-i",
            art,
            "-map",
            "0",
            "-map",
            "1",
            "-c",
            "copy",
            "-disposition:v:1",
            "attached_pic",
        )
    output = tmp_path / f"out{ending}"
    passage(film, output)
    media = probe(output)
    assert [stream.codec for stream in media.of("cover")] == ["png"]
    with av.open(str(output)) as opened:
        kept = next(bytes(packet) for packet in opened.demux(opened.streams[media.of("cover")[0].index]) if packet.size)
    assert kept == art.read_bytes()


def test_fonts(tmp_path: Path) -> None:
    font = tmp_path / "a.ttf"
    font.write_bytes(b"font")
    plain = make(tmp_path / "plain.mkv", *VIDEO, *X264)
    film = make(
        tmp_path / "film.mkv",
        "-i",
        plain,
        "-c",
        "copy",
        "-attach",
        font,
        "-metadata:s:t",
        "mimetype=application/x-truetype-font",
    )
    passage(film, tmp_path / "out.mkv")
    assert len(probe(tmp_path / "out.mkv").of("attachment")) == 1


@pytest.mark.parametrize(("encoder", "tag"), [("libx265", "hvc1"), ("libx264", "avc1")])
def test_hevc_bears_the_tag_that_players_ask_for(tmp_path: Path, encoder: str, tag: str) -> None:
    film = moving_video(tmp_path / "a.mkv", frames=3)
    passage(film, tmp_path / "out.mp4", encoder=encoder)
    with av.open(str(tmp_path / "out.mp4")) as opened:
        assert opened.streams.video[0].codec_context.codec_tag == tag


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_frame_is_shown_upright(tmp_path: Path, degrees: int) -> None:
    film = moving_video(tmp_path / "a.mp4", frames=3)
    turned = make(tmp_path / "b.mp4", "-i", film, "-c", "copy", "-metadata:s:v", f"rotate={degrees}")
    if degrees and not probe(turned).turn:
        turned = make(tmp_path / "b.mp4", "-display_rotation", degrees, "-i", film, "-c", "copy")
    passage(turned, tmp_path / "out.mkv")
    before, after = (_gray(path) for path in (turned, tmp_path / "out.mkv"))
    assert before.size == after.size
    size = (96, 64) if degrees % 180 else (64, 96)
    assert listing(tmp_path / "out.mkv").count(f"{size[1]}x{size[0]}") == 1
    assert np.abs(before - after).mean() < 4


def _gray(path: Path) -> np.ndarray:
    done = run_ffmpeg("-v", "quiet", "-i", path, "-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", "gray", "-")
    return np.frombuffer(done.stdout, np.uint8).astype(np.int16)


def test_mirrored_frames_are_understood() -> None:
    one = 1 << 16
    assert turn_of(struct.pack("=9i", -one, 0, 0, 0, one, 0, 0, 0, 1 << 30)) == "h"
    assert turn_of(struct.pack("=9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)) == ""
    assert turn_of(struct.pack("=9i", 0, one, 0, one, 0, 0, 0, 0, 1 << 30)) == "t"


def test_what_a_container_cannot_hold_is_named() -> None:
    kinds = (
        ("audio", "aac"),
        ("subtitle", "hdmv_pgs_subtitle"),
        ("subtitle", "ass"),
        ("attachment", ""),
        ("data", ""),
        ("cover", "png"),
    )
    streams = tuple(Stream(number + 1, kind, codec) for number, (kind, codec) in enumerate(kinds))
    media = Media(Path("a"), 1, Fraction(0), Fraction(25), True, streams=streams)
    assert left_behind(media, "matroska") == ["data stream 5"]
    assert left_behind(media, "mp4") == [
        "subtitle stream 2 (hdmv_pgs_subtitle)",
        "attachment stream 4",
        "data stream 5",
    ]
    assert len(left_behind(media, "webm")) == 5


def test_a_further_video_is_named(tmp_path: Path) -> None:
    run_ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x48:r=24:d=0.2",
        "-map",
        "0",
        "-map",
        "0",
        "-c:v",
        "libx264",
        tmp_path / "two.mkv",
    )
    assert left_behind(probe(tmp_path / "two.mkv"), "matroska") == ["video stream 1 (h264)"]
