"""Which pixel format is encoded in, and how frames reach ffmpeg."""

from __future__ import annotations

import subprocess

import pytest

from tests.cli.media_files import ffmpeg
from vsvfi.media.pixels import Pixels, carried_over, carrier, choose, parse, taken

FFV1 = (
    "yuv420p yuva420p yuv444p yuva444p bgr0 bgra yuv420p10le yuv420p12le yuv420p16le yuva444p10le "
    "gbrp10le gbrap10le gbrp12le gbrap12le gbrp16le gray gray16le"
)
X265 = "yuv420p yuvj420p yuv444p gbrp yuv420p10le yuv444p10le gbrp10le yuv420p12le gray"
PRORES = "yuv422p10le yuv444p10le yuva444p10le"
VP9 = "yuv420p yuva420p yuv444p yuv420p10le gbrp gbrp10le"
X264RGB = "bgr0 bgr24 rgb24"
PNG = "rgb24 rgba rgb48be rgba64be pal8 gray ya8 monob"
NVENC = "yuv420p nv12 p010le yuv444p p016le yuv444p16le bgr0 bgra x2rgb10le gbrp cuda"


def formats(names: str, encoder: str = "ffv1", muxer: str = "matroska") -> tuple[Pixels, ...]:
    return taken(names.split(), encoder, muxer)


def have(name: str) -> Pixels:
    found = parse(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("source", "takes", "chosen"),
    [
        ("yuv420p", FFV1, "yuv420p"),
        ("yuv420p12le", FFV1, "yuv420p12le"),
        ("yuv420p14le", FFV1, "yuv420p16le"),
        ("gbrp", FFV1, "bgr0"),
        ("bgra", FFV1, "bgra"),
        ("gbrp14le", FFV1, "gbrp16le"),
        ("gbrap12le", FFV1, "gbrap12le"),
        ("gray10le", FFV1, "gray16le"),
        ("yuva422p10le", FFV1, "yuva444p10le"),
        ("rgb24", X265, "gbrp"),  # where it is asked for, see below
        ("yuv422p10le", X265, "yuv444p10le"),
        ("gbrp16le", X265, "gbrp10le"),
        ("rgba", PRORES, "yuva444p10le"),
        ("rgb24", PRORES, "yuv444p10le"),
        ("yuv420p", PRORES, "yuv422p10le"),
        ("rgba", VP9, "yuva420p"),
        ("yuva444p10le", VP9, "yuva420p"),
        ("yuv420p", X264RGB, "bgr0"),
        ("yuv420p10le", PNG, "rgb48be"),
        ("gray", PNG, "gray"),
    ],
)
def test_what_loses_least_is_chosen(source: str, takes: str, chosen: str) -> None:
    found = choose(have(source), formats(takes))
    assert found is not None
    assert found.name == chosen


def test_an_encoder_that_does_not_say_chooses_itself() -> None:
    assert choose(have("yuv420p"), formats("cuda vaapi no_such_format")) is None


def test_hardware_encoders_turn_packed_rgb_into_yuv() -> None:
    names = {pixels.name for pixels in formats(NVENC, "hevc_nvenc")}
    assert names == {"yuv420p", "nv12", "p010le", "yuv444p", "p016le", "yuv444p16le", "gbrp"}
    found = choose(have("yuv420p10le"), formats(NVENC, "hevc_nvenc"))
    assert found is not None
    assert (found.name, carrier(found).name) == ("p010le", "yuv420p10le")


@pytest.mark.parametrize(("encoder", "names"), [("libx265", X265), ("libvpx-vp9", VP9)])
@pytest.mark.parametrize(("source", "chosen"), [("rgb24", "yuv444p"), ("gbrp10le", "yuv444p10le")])
def test_rgb_becomes_yuv_where_players_show_no_rgb(encoder: str, names: str, source: str, chosen: str) -> None:
    names += " yuv444p10le"
    found = choose(have(source), formats(names, encoder))
    assert found is not None
    assert found.name == chosen
    found = choose(have(source), taken(names.split(), encoder, "matroska", rgb=True))
    assert found is not None
    assert found.family == "rgb"


def test_vp9_keeps_its_alpha_only_in_matroska() -> None:
    assert any(pixels.alpha for pixels in formats(VP9, "libvpx-vp9", "webm"))
    assert not any(pixels.alpha for pixels in formats(VP9, "libvpx-vp9", "mp4"))


@pytest.mark.parametrize("name", ["pal8", "monob", "bayer_bggr8", "xyz12le", "gbrpf32le", "cuda", "no_such_format"])
def test_what_is_no_plain_format(name: str) -> None:
    assert parse(name) is None


def test_every_carrier_is_a_format_of_ffmpeg() -> None:
    listed = subprocess.run([ffmpeg(), "-v", "quiet", "-pix_fmts"], capture_output=True, text=True, check=True).stdout
    known = {line.split()[1] for line in listed.splitlines() if line[:1] == "I" or line[:2] == ".."}
    shapes = [("yuv", across, down) for across, down in ((0, 0), (1, 0), (1, 1), (0, 1), (2, 0), (2, 2), (3, 1))]
    for family, across, down in [*shapes, ("rgb", 0, 0), ("gray", 0, 0)]:
        for bits in range(8, 17):
            for alpha in (False, True):
                pipe = carried_over(Pixels(family, bits, across, down, alpha))
                assert pipe.name in known
                assert pipe.bits >= bits
                assert pipe.alpha == alpha
                found = parse(pipe.name)
                assert found is not None
                assert (found.bits, found.alpha) == (pipe.bits, alpha)
