"""Images as they come, and PNG."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from vsvfi.errors import VsvfiError
from vsvfi.media.stills import Still, png, read_still, write_png

image = pytest.importorskip("PIL.Image", reason="Pillow is not installed; it is the other reader")
pytest.importorskip("av", reason="images are read by PyAV")


def pixels(channels: int, kind: type = np.uint8, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, np.iinfo(kind).max + 1, (8, 12, channels)).astype(kind)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_what_is_written_is_read_again(tmp_path: Path, kind: type, alpha: bool, grey: bool) -> None:
    colour = np.repeat(pixels(1, kind), 3, -1) if grey else pixels(3, kind)
    still = Still(colour, pixels(1, kind, 1)[..., 0] if alpha else None, grey)
    write_png(tmp_path / "a.png", still)
    found = read_still(tmp_path / "a.png")
    assert found.bits == still.bits
    assert np.array_equal(found.colour, colour)
    assert found.grey == (grey and not alpha)
    assert (found.alpha is None) == (not alpha)
    assert not alpha or np.array_equal(found.alpha, still.alpha)


def test_another_reader_sees_the_same(tmp_path: Path) -> None:
    still = Still(pixels(3), pixels(1, seed=1)[..., 0])
    (tmp_path / "a.png").write_bytes(png(still))
    seen = np.array(image.open(tmp_path / "a.png"))
    assert np.array_equal(seen[..., :3], still.colour)
    assert np.array_equal(seen[..., 3], still.alpha)
    deep = Still(np.repeat(pixels(1, np.uint16), 3, -1), None, True)
    (tmp_path / "b.png").write_bytes(png(deep))
    assert np.array_equal(np.array(image.open(tmp_path / "b.png")), deep.colour[..., 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_orientation_is_applied(tmp_path: Path, orientation: int, ending: str) -> None:
    from PIL import ImageOps

    exif = image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    blocks = np.kron(pixels(3), np.ones((8, 8, 1), np.uint8))
    image.fromarray(blocks).save(path, exif=exif, quality=95, subsampling=0)
    upright = np.array(ImageOps.exif_transpose(image.open(path)))
    assert np.abs(read_still(path).colour.astype(int) - upright).max() <= (0 if ending == "png" else 3)


@pytest.mark.parametrize(
    ("mode", "alpha", "grey"), [("L", False, True), ("LA", True, True), ("P", False, False), ("1", False, True)]
)
def test_other_kinds_of_png(tmp_path: Path, mode: str, alpha: bool, grey: bool) -> None:
    shown = image.fromarray(pixels(3)).convert("L").convert(mode)
    shown.save(tmp_path / "a.png")
    found = read_still(tmp_path / "a.png")
    assert (found.alpha is not None, found.grey) == (alpha, grey)
    assert np.array_equal(found.colour, np.array(shown.convert("RGB")))


def test_chroma_of_a_jpeg_is_smooth(tmp_path: Path) -> None:
    ramp = np.zeros((32, 64, 3), np.uint8)
    ramp[..., 0], ramp[..., 2] = np.arange(64) * 4, 255 - np.arange(64) * 4
    image.fromarray(ramp).save(tmp_path / "a.jpg", quality=98, subsampling=2)
    error = read_still(tmp_path / "a.jpg").colour.astype(int) - ramp
    assert np.abs(error[:, 4:-4]).max() <= 4


def test_what_is_no_single_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(png(Still(pixels(3)))[:60])
    frames = [image.fromarray(pixels(3, seed=seed)) for seed in range(2)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    image.fromarray(pixels(4), "CMYK").save(tmp_path / "cmyk.jpg")
    for name, told in (
        ("text.png", "cannot be read as an image"),
        ("cut.png", "cannot be read as an image"),
        ("none.png", "cannot be read as an image: No such file"),
        ("two.gif", "contains several images"),
        ("cmyk.jpg", "is a CMYK image"),
    ):
        with pytest.raises(VsvfiError, match=told):
            read_still(tmp_path / name)


def test_floating_point_is_refused(tmp_path: Path) -> None:
    from tests.cli.media_files import ffmpeg

    source = ["-f", "lavfi", "-i", "color=red:size=16x16:rate=1", "-frames:v", "1"]
    path = tmp_path / "a.exr"
    done = subprocess.run([ffmpeg(), "-v", "error", *source, "-pix_fmt", "gbrpf32le", str(path)], check=False)
    if done.returncode:
        pytest.skip("this ffmpeg writes no OpenEXR")
    with pytest.raises(VsvfiError, match="floating-point"):
        read_still(path)


def test_a_profile_is_noticed(tmp_path: Path) -> None:
    image.fromarray(pixels(3)).save(tmp_path / "a.png", icc_profile=zlib.compress(b"profile") * 8)
    plain = image.fromarray(pixels(3))
    plain.save(tmp_path / "b.png")
    assert not read_still(tmp_path / "b.png").profile
    assert read_still(tmp_path / "a.png").profile


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        write_png(path, Still(pixels(3)))
    assert path.read_text() == "mine"
    write_png(path, Still(pixels(3)), overwrite=True)
    assert np.array_equal(read_still(path).colour, pixels(3))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
