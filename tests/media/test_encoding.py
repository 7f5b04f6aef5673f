"""ffmpeg's arguments from the facts of a clip."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from vsvfi.errors import VsvfiError
from vsvfi.media.encoding import (
    Facts,
    Part,
    Quality,
    container,
    encoder_arguments,
    ffmpeg_arguments,
    join_arguments,
    video_filters,
)
from vsvfi.media.hdr import x265_hdr
from vsvfi.media.probe import Media, Stream

MASTERING = {
    "MasteringDisplayPrimariesX": [0.708, 0.17, 0.131],
    "MasteringDisplayPrimariesY": [0.292, 0.797, 0.046],
    "MasteringDisplayWhitePointX": 0.3127,
    "MasteringDisplayWhitePointY": 0.329,
    "MasteringDisplayMinLuminance": 0.005,
    "MasteringDisplayMaxLuminance": 1000.0,
}


def facts(**props: Any) -> Facts:
    return Facts.parse(
        {
            "width": 96,
            "height": 64,
            "frames": 100,
            "rate": "50",
            "source_frames": 50,
            "source_rate": "25",
            "chroma_420": True,
            "props": props,
            "device": "cpu",
        }
    )


def media(**given: Any) -> Media:
    return Media(
        **{
            "path": Path("in.mkv"),
            "frames": 50,
            "start": Fraction(1, 4),
            "rate": Fraction(25),
            "constant": True,
            **given,
        }
    )


def after(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def test_tags_are_set_on_frames_and_only_where_known() -> None:
    assert video_filters(facts(_Range=0, _Matrix=9, _Primaries=9, _Transfer=16, _SARNum=4, _SARDen=3)) == [
        "setparams=range=limited:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084",
        "setsar=4/3",
    ]
    assert video_filters(facts(_Matrix=2, _Primaries=2, _Transfer=2)) == ["null"]


def test_hdr_metadata_goes_to_x265_in_its_own_units() -> None:
    assert x265_hdr({**MASTERING, "ContentLightLevelMax": 900, "ContentLightLevelAverage": 300}) == [
        "master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)",
        "max-cll=900,300",
        "hdr10=1",
    ]
    assert x265_hdr({}) == []


def test_the_encoder_decides_what_is_passed() -> None:
    fast = Quality("libx265", 20, "fast")
    assert encoder_arguments(facts(), fast) == [
        "-c:v:0",
        "libx265",
        "-crf",
        "20",
        "-preset",
        "fast",
        "-x265-params",
        "log-level=error",
    ]
    assert encoder_arguments(facts(), Quality("ffv1")) == ["-c:v:0", "ffv1"]
    assert encoder_arguments(facts(), Quality("libx264", 17.5)) == ["-c:v:0", "libx264", "-crf", "17.5"]


def test_without_media_only_the_pipe_is_read() -> None:
    arguments = ffmpeg_arguments(facts(), Quality("libx264"), None, Part(), Path("o"), "matroska")
    assert arguments.count("-i") == 1
    assert after(arguments, "-f") == "rawvideo"
    given = [after(arguments, name) for name in ("-pixel_format", "-video_size", "-framerate")]
    assert given == ["yuv420p", "96x64", "50:1"]


def test_hevc_that_is_joined_gets_its_tag_again() -> None:
    """Matroska on standard input has none to copy."""
    arguments = join_arguments(facts(), "libx265", None, Part(), None, Path("o"), "mp4")
    assert arguments[arguments.index("-c:v:0") :][:4] == ["-c:v:0", "copy", "-tag:v:0", "hvc1"]
    assert "-tag:v:0" not in join_arguments(facts(), "libx264", None, Part(), None, Path("o"), "mp4")


def test_rgb_is_tagged_as_such_and_encoded_in_the_format_that_was_chosen() -> None:
    given = dataclasses.replace(facts(_Matrix=1, _Range=1), pixels="gbrp", encoded="bgr0")
    assert video_filters(given)[0] == "setparams=colorspace=gbr:range=full"
    assert after(encoder_arguments(given, Quality("ffv1")), "-pix_fmt:v:0") == "bgr0"


def streams(kind: str, *codecs: str, start: Fraction = Fraction(0)) -> tuple[Stream, ...]:
    return tuple(Stream(index + 1, kind, codec, start) for index, codec in enumerate(codecs))


def test_the_first_frame_is_at_zero_and_the_muxer_moves_what_comes_before() -> None:
    given = media(streams=streams("audio", "aac"))
    arguments = ffmpeg_arguments(facts(), Quality("libx264"), given, Part(), Path("o"), "matroska")
    assert after(arguments, "-itsoffset") == "-0.249998"
    assert after(arguments, "-output_ts_offset") == "0.250000"
    assert "-ss" not in arguments
    assert "-t" not in arguments


def test_a_part_from_the_middle_takes_its_own_audio() -> None:
    given = media(streams=streams("audio", "aac"))
    arguments = ffmpeg_arguments(facts(), Quality("libx264"), given, Part(50, 74), Path("o"), "matroska")
    assert after(arguments, "-ss") == "1.250000"
    assert after(arguments, "-t") == "0.500000"
    assert after(arguments, "-itsoffset") == "-1.249998"
    assert "-output_ts_offset" not in arguments


def test_a_part_from_the_start_keeps_the_audio_before_the_video() -> None:
    given = media(streams=streams("audio", "aac"))
    arguments = ffmpeg_arguments(facts(), Quality("libx264"), given, Part(0, 24), Path("o"), "matroska")
    assert (after(arguments, "-t"), after(arguments, "-output_ts_offset")) == ("0.500000", "0.250000")
    assert "-ss" not in arguments


@pytest.mark.parametrize(
    ("muxer", "codec", "fitting"),
    [
        ("matroska", "ass", "copy"),
        ("matroska", "mov_text", "srt"),
        ("matroska", "hdmv_pgs_subtitle", "copy"),
        ("mp4", "subrip", "mov_text"),
        ("mp4", "mov_text", "copy"),
    ],
)
def test_subtitles_are_taken_over_as_the_container_holds_them(muxer: str, codec: str, fitting: str) -> None:
    assert (
        after(
            ffmpeg_arguments(
                facts(), Quality("libx264"), media(streams=streams("subtitle", codec)), Part(), Path("o"), muxer
            ),
            "-c:s:0",
        )
        == fitting
    )


def test_subtitles_that_a_container_cannot_hold_are_left_out() -> None:
    arguments = ffmpeg_arguments(
        facts(),
        Quality("libx264"),
        media(streams=streams("subtitle", "hdmv_pgs_subtitle", "subrip")),
        Part(),
        Path("o"),
        "mp4",
    )
    assert "1:1" not in arguments
    assert after(arguments, "-c:s:0") == "mov_text"


def test_chroma_location_is_told() -> None:
    assert (
        after(
            ffmpeg_arguments(facts(_ChromaLocation=2), Quality("libx264"), None, Part(), Path("o"), "mp4"),
            "-chroma_sample_location",
        )
        == "topleft"
    )


def test_a_container_is_known_by_its_name() -> None:
    assert container(Path("a.MKV")) == "matroska"
    with pytest.raises(VsvfiError, match=r"its format is not known by the name; end it in one of \.mkv"):
        container(Path("a.flv"))
