"""Images as a source: found in order, checked, and decoded without loss."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.cli.media_files import make
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.media.image_planes import read_planes
from vsvfi.media.image_sequence import (
    ImageSequence,
    common_format,
    find_images,
    is_sequence,
    list_images,
    parse_rate,
    probe_images,
)
from vsvfi.media.pixels import parse
from vsvfi.media.pyav import pyav
from vsvfi.media.stills import Still, write_png

RAMP = np.arange(6 * 8 * 3).reshape(6, 8, 3)


def image(path: Path, bits: int = 8, *, grey: bool = False, alpha: bool = False) -> Path:
    kind, gain = (np.uint8, 1) if bits == 8 else (np.uint16, 449)
    colour = (RAMP * gain).astype(kind)
    if grey:
        colour = np.repeat(colour[..., :1], 3, -1)
    write_png(
        path, Still(colour, ((255 - RAMP[..., 0]) * (gain if bits == 8 else 251)).astype(kind) if alpha else None, grey)
    )
    return path


def raw(path: Path, form: str, samples: np.ndarray, coder: str) -> Path:
    """Encode packed samples with ffmpeg's encoder of a format of images."""
    data = path.with_suffix(".raw")
    data.write_bytes(samples.tobytes())
    size = f"{samples.shape[1]}x{samples.shape[0]}"
    return make(path, "-f", "rawvideo", "-pix_fmt", form, "-s", size, "-i", data, "-frames:v", 1, "-c:v", coder)


def names(folder: Path, *given: str) -> None:
    for name in given:
        image(folder / name)


def test_natural_order_of_folders_and_patterns(tmp_path: Path) -> None:
    names(tmp_path, "a10.png", "a9.png", "a8.png", ".a11.png")
    (tmp_path / "notes.txt").touch()
    expected = [tmp_path / f"a{n}.png" for n in (8, 9, 10)]
    for given in (tmp_path, tmp_path / "*.png", tmp_path / "a%d.png", tmp_path / "a[0-9]*.png"):
        assert is_sequence(given)
        assert list_images(given) == expected
        assert find_images(given, "refuse") == ImageSequence(tuple(expected), (0, 1, 2))
    assert list_images(tmp_path / "a%02d.png") == expected[2:]
    assert not is_sequence(tmp_path / "a8.png")
    (odd := tmp_path / "odd [1].mkv").touch()
    assert not is_sequence(odd)


def test_every_second_number_is_consecutive_and_gaps_are_named(tmp_path: Path) -> None:
    names(tmp_path, *(f"x2_{n:03}.png" for n in (2, 4, 8, 10)))
    with pytest.raises(VsvfiError, match=r"lacks the numbers 6 from x2_002.png on; .* --gaps fill"):
        find_images(tmp_path, "refuse")
    assert find_images(tmp_path, "close").numbers == (0, 1, 2, 3)
    filled = find_images(tmp_path, "fill")
    assert filled.numbers == (0, 1, 3, 4)
    media = probe_images(filled, Fraction(10))
    assert (media.constant, media.times) == (False, tuple(Fraction(n, 10) for n in (0, 1, 3, 4, 5)))
    names(tmp_path, "x2_006.png")
    assert find_images(tmp_path, "refuse").numbers == (0, 1, 2, 3, 4)
    assert probe_images(find_images(tmp_path, "refuse"), Fraction(10)).constant


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("a1.png",), "holds 1 images"),
        (("a1.png", "a2.png", "a3.bmp"), r"several kinds \(.png, .bmp\); choose one with a pattern: '.*\*.png'"),
        (("a1.png", "a2.png", "b1.png", "b2.png"), r"several sequences \(a#.png, b#.png\).*a\*.png"),
        (("a1.png", "a01.png"), "have the same number"),
    ],
)
def test_what_makes_no_sequence(tmp_path: Path, given: tuple[str, ...], message: str) -> None:
    names(tmp_path, *given)
    with pytest.raises(VsvfiError, match=message):
        find_images(tmp_path, "refuse")


def test_sizes_must_be_equal_and_images_readable(tmp_path: Path) -> None:
    names(tmp_path, "a1.png", "a2.png")
    write_png(tmp_path / "a3.png", Still(np.zeros((6, 9, 3), np.uint8)))
    with pytest.raises(VsvfiError, match=r"a2.png has 8x6 pixels and .*a3.png 9x6"):
        probe_images(find_images(tmp_path, "refuse"), Fraction(24))
    (tmp_path / "a3.png").write_bytes(b"no image at all" * 9)
    with pytest.raises(VsvfiError, match=r"a3.png cannot be read as an image"):
        probe_images(find_images(tmp_path, "refuse"), Fraction(24))
    (tmp_path / "a3.png").write_bytes((tmp_path / "a1.png").read_bytes()[:90])
    media = probe_images(find_images(tmp_path, "refuse"), Fraction(24))
    with pytest.raises(VsvfiError, match=r"a3.png cannot be read as an image"):
        read_planes(tmp_path / "a3.png", media.pixels)


@pytest.mark.parametrize("rate", ["0", "x", "1/0", "2000"])
def test_a_rate_that_cannot_be(rate: str) -> None:
    assert parse_rate("30000/1001") == Fraction(30000, 1001)
    with pytest.raises(ArgumentError, match="rate="):
        parse_rate(rate)


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        ({"rgb24"}, "gbrp"),
        ({"rgb24", "gray", "rgba"}, "gbrap"),
        ({"gray", "monob"}, "gray"),
        ({"ya8"}, "gbrap"),
        ({"rgb24", "gray16be"}, "gbrp16le"),
        ({"gbrp10le"}, "gbrp10le"),
        ({"yuvj420p"}, "yuv420p"),
        ({"yuvj420p", "rgb24"}, "gbrp16le"),
        ({"yuva420p"}, "gbrap16le"),
        ({"gbrpf32le", "gbrapf32le"}, "gbrapf32le"),
    ],
)
def test_one_format_that_keeps_all(forms: set[str], expected: str) -> None:
    assert common_format(forms) == expected


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("grey", "alpha"), [(False, False), (True, False), (False, True)])
def test_png_and_tiff_are_decoded_to_the_bit(tmp_path: Path, bits: int, grey: bool, alpha: bool) -> None:
    gain = 1 if bits == 8 else 449
    path = image(tmp_path / "a1.png", bits, grey=grey, alpha=alpha)
    tiff = make(tmp_path / "t1.tiff", "-i", path, "-c:v", "tiff")
    for one in (path, tiff):
        media = probe_images(ImageSequence((one, one), (0, 1)), Fraction(24))
        assert media.bare
        assert media.alpha is alpha
        found = read_planes(one, media.pixels)
        assert len(found.colour) == (1 if grey else 3)
        for channel, plane in enumerate(found.colour):
            np.testing.assert_array_equal(plane, RAMP[..., channel] * gain)
        assert (found.alpha is not None) is alpha
        if found.alpha is not None:
            np.testing.assert_array_equal(found.alpha, (255 - RAMP[..., 0]) * (1 if bits == 8 else 251))


def test_bits_and_channels_are_widened_exactly(tmp_path: Path) -> None:
    found = read_planes(image(tmp_path / "a.png"), "gbrap16le")
    np.testing.assert_array_equal(found.colour[1], RAMP[..., 1] * 257)
    np.testing.assert_array_equal(found.alpha, np.full((6, 8), 65535))
    found = read_planes(image(tmp_path / "b.png", grey=True), "gbrp16le")
    np.testing.assert_array_equal(found.colour[2], RAMP[..., 0] * 257)
    both = np.stack((RAMP[..., 0], 255 - RAMP[..., 0]), -1).astype(np.uint8)
    found = read_planes(raw(tmp_path / "c.png", "ya8", both, "png"), "gbrap")
    np.testing.assert_array_equal(found.colour[0], RAMP[..., 0])
    np.testing.assert_array_equal(found.alpha, 255 - RAMP[..., 0])


def test_palettes_are_resolved(tmp_path: Path) -> None:
    """Transparency is assumed only where the palette has some."""
    path = make(tmp_path / "a.png", "-i", image(tmp_path / "b.png"), "-pix_fmt", "pal8")
    media = probe_images(ImageSequence((path, path), (0, 1)), Fraction(24))
    transparent = b"tRNS" in path.read_bytes()
    assert media.pixels == ("gbrap" if transparent else "gbrp")
    with pyav().open(str(path)) as container:
        (frame,) = container.decode(video=0)
        assert frame.format.name == "pal8"
        expected = frame.reformat(format="rgb24").to_ndarray()
    np.testing.assert_array_equal(np.stack(read_planes(path, media.pixels).colour, -1), expected)


def test_jpeg_keeps_its_planes_and_is_turned_upright(tmp_path: Path) -> None:
    path = make(tmp_path / "a.jpg", "-f", "lavfi", "-i", "testsrc2=s=64x32", "-frames:v", 1, "-pix_fmt", "yuvj422p")
    media = probe_images(ImageSequence((path, path), (0, 1)), Fraction(24))
    assert media.pixels == "yuv422p"
    found = read_planes(path, media.pixels)
    assert (found.full, found.matrix) == (True, 5)
    with pyav().open(str(path)) as container:
        (frame,) = container.decode(video=0)
        for plane, own in zip(found.colour, frame.planes, strict=True):
            assert plane.tobytes() == b"".join(
                bytes(own)[row * own.line_size :][: own.width] for row in range(own.height)
            )
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    turned = tmp_path / "b.jpg"
    data = path.read_bytes()
    turned.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    with pytest.raises(VsvfiError, match=r"64x32 pixels and .* 32x64"):
        probe_images(ImageSequence((path, turned), (0, 1)), Fraction(24))
    assert read_planes(turned, media.pixels).colour[0].shape == (64, 32)
    np.testing.assert_array_equal(read_planes(turned, media.pixels).colour[0], np.rot90(found.colour[0], -1))


def test_exr_is_float_and_linear(tmp_path: Path) -> None:
    samples = np.linspace(0, 2, 3 * 6 * 8, dtype=np.float32).reshape(3, 6, 8)
    path = tmp_path / "a.exr"
    data = path.with_suffix(".raw")
    data.write_bytes(samples.tobytes())
    make(path, "-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-s", "8x6", "-i", data, "-c:v", "exr")
    media = probe_images(ImageSequence((path, path), (0, 1)), Fraction(24))
    assert media.pixels == "gbrpf32le"
    assert parse(media.pixels) is None
    found = read_planes(path, media.pixels)
    np.testing.assert_array_equal(np.stack(found.colour), samples[[2, 0, 1]])
