"""What an encoder cannot take is found before it starts; what SVT-AV1 can, reaches the file."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest

from tests.cli.media_files import ffmpeg, moving_video
from tests.media.test_encoding import MASTERING, facts
from vsvfi.cli.encoder_setup import takes
from vsvfi.cli.programs import Encoder
from vsvfi.media.encoding import Quality, encoder_arguments
from vsvfi.media.hdr import svtav1_hdr
from vsvfi.media.losses import hdr_losses, pixel_formats, pixel_losses
from vsvfi.media.pixels import parse
from vsvfi.media.probe import Media


@pytest.mark.parametrize(
    ("pixels", "pipe", "encoded", "lost"),
    [
        ("yuv420p", "yuv420p", "yuv420p", []),
        ("yuv420p", "yuv420p", "", []),
        ("yuv420p10le", "yuv420p", "yuv420p", ["10 bits per sample (8 are left)"]),
        ("yuv444p", "yuv420p10le", "yuv420p10le", ["part of the chroma resolution"]),
        ("yuv422p", "yuv444p", "yuv444p", []),
        ("yuva420p", "yuv420p", "yuv420p", ["transparency"]),
        ("yuva420p", "yuva420p", "yuva420p", []),
        ("rgba", "gbrp", "rgba", ["transparency"]),
        ("bgra", "gbrap", "bgra", []),
        ("gbrp", "yuv444p", "yuv444p", ["RGB (it becomes YUV 4:4:4, BT.709)"]),
        ("gbrp", "gray", "gray", ["RGB (it becomes gray)"]),
        ("yuv420p", "gbrp", "rgb24", ["YUV (it becomes RGB)"]),
        ("yuv420p", "gray", "gray", ["colour"]),
        ("pal8", "gbrp", "bgr0", []),
    ],
)
def test_losses_of_pixels(pixels: str, pipe: str, encoded: str, lost: list[str]) -> None:
    described = parse(pixels)
    media = Media(
        Path("a"), 1, Fraction(0), Fraction(25), True, pixels=pixels, alpha=described is not None and described.alpha
    )
    assert pixel_losses(media, dataclasses.replace(facts(), pixels=pipe, encoded=encoded)) == lost


def test_an_encoder_says_what_it_takes() -> None:
    assert "yuv420p" in pixel_formats(ffmpeg(), "libx264")
    assert pixel_formats(ffmpeg(), "no_such_encoder") == ()


def test_hdr_metadata_for_svt_av1() -> None:
    given = {**MASTERING, "ContentLightLevelMax": 900, "ContentLightLevelAverage": 300}
    expected = (
        "mastering-display=G(0.17,0.797)B(0.131,0.046)R(0.708,0.292)WP(0.3127,0.329)L(1000,0.005):content-light=900,300"
    )
    assert ":".join(svtav1_hdr(given)) == expected
    arguments = encoder_arguments(facts(**given), Quality("libsvtav1"))
    assert arguments[arguments.index("-svtav1-params") + 1] == expected


def test_hdr_metadata_reaches_the_file(tmp_path: Path) -> None:
    import av

    given = {**MASTERING, "ContentLightLevelMax": 900, "ContentLightLevelAverage": 300}
    if not pixel_formats(ffmpeg(), "libsvtav1"):
        pytest.skip("this ffmpeg has no libsvtav1")
    path = moving_video(
        tmp_path / "a.mkv",
        "-pix_fmt",
        "yuv420p10le",
        *encoder_arguments(facts(**given), Quality("libsvtav1", None, "12")),
        frames=3,
    )
    with av.open(str(path)) as opened:
        frame = next(opened.decode(video=0))
    kinds = av.sidedata.sidedata.Type
    assert frame.side_data.get(kinds.MASTERING_DISPLAY_METADATA) is not None
    assert frame.side_data.get(kinds.CONTENT_LIGHT_LEVEL) is not None


def test_encoders_without_hdr_metadata_are_named() -> None:
    media = Media(Path("a"), 1, Fraction(0), Fraction(25), True, dynamic_hdr=("HDR10+ metadata",))
    assert hdr_losses(media, "libx264", MASTERING) == ["HDR10 metadata", "HDR10+ metadata"]
    assert hdr_losses(media, "libx265", MASTERING) == ["HDR10+ metadata"]


@pytest.mark.parametrize(
    ("more", "kept"),
    [
        ((), False),
        (("-x265-params", "aq-mode=3:lossless=1"), True),
        (("-pix_fmt", "gbrp"), True),
        (("-pix_fmt", "yuv420p"), False),
    ],
)
def test_libx265_gets_rgb_where_it_is_asked_for(more: tuple[str, ...], kept: bool) -> None:
    if not pixel_formats(ffmpeg(), "libx265"):
        pytest.skip("this ffmpeg has no libx265")
    families = {pixels.family for pixels in takes(Encoder(ffmpeg(), "libx265"), "matroska", more)}
    assert ("rgb" in families) == kept
