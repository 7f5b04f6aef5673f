"""Alpha, RGB and bit depth are kept if the encoder supports them: source frames are bitwise equal."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import vapoursynth as vs
from numpy.typing import NDArray

from tests.cli.media_files import listing, make, run_ffmpeg
from tests.media.containers import VIDEO, X264, passage
from tests.media.test_encoding import facts
from vsvfi.cli.piping import fit
from vsvfi.cli.scripting import open_video, show
from vsvfi.media.losses import pixel_losses
from vsvfi.media.pixels import Pixels
from vsvfi.media.probe import probe

ALPHA = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='mod(X*5+Y+N*40,256)'"


def painted(path: Path, encoder: str, pixels: str, *more: object, size: str = "64x48") -> Path:
    """Three frames with noise in every bit, and an alpha that changes."""
    video = f"testsrc2=size={size}:rate=25,noise=alls=20:allf=t,{ALPHA}"
    return make(path, "-f", "lavfi", "-i", video, "-frames:v", 3, "-pix_fmt", pixels, "-c:v", encoder, *more)


def samples(path: Path, pixels: str, *decoder: str) -> NDArray[np.generic]:
    done = run_ffmpeg("-v", "error", *decoder, "-i", path, "-map", "0:v:0", "-f", "rawvideo", "-pix_fmt", pixels, "-")
    assert not done.returncode, done.stderr
    data = np.frombuffer(done.stdout, np.uint16 if "16" in pixels or "10" in pixels or "12" in pixels else np.uint8)
    assert data.size
    return data


@pytest.mark.parametrize(
    ("encoder", "pixels", "ending", "target"),
    [
        ("ffv1", "bgr0", ".mkv", "ffv1"),
        ("png", "rgb24", ".mov", "ffv1"),
        ("libx264rgb", "bgr24", ".mkv", "ffv1"),
        ("ffv1", "bgr0", ".mkv", "libx264rgb"),
        ("ffv1", "gbrp10le", ".mkv", "ffv1"),
        ("ffv1", "gbrp16le", ".mkv", "ffv1"),
        ("png", "rgb48be", ".mov", "png"),
        ("ffv1", "bgra", ".mkv", "ffv1"),
        ("qtrle", "argb", ".mov", "ffv1"),
        ("png", "rgba", ".mov", "qtrle"),
        ("ffv1", "yuva420p", ".mkv", "ffv1"),
        ("ffv1", "yuva444p10le", ".mkv", "ffv1"),
        ("ffv1", "yuv420p12le", ".mkv", "ffv1"),
        ("ffv1", "yuv444p16le", ".mkv", "ffv1"),
        ("ffv1", "yuv440p", ".mkv", "ffv1"),
        ("ffv1", "gray", ".mkv", "ffv1"),
        ("ffv1", "gray10le", ".mkv", "ffv1"),
    ],
)
def test_lossless_encoders_keep_every_bit(tmp_path: Path, encoder: str, pixels: str, ending: str, target: str) -> None:
    lossless = ("-crf", 0) if encoder == "libx264rgb" else ()
    source = painted(tmp_path / f"in{ending}", encoder, pixels, *lossless)
    output = tmp_path / ("out.mov" if target in ("png", "qtrle") else "out.mkv")
    kept = passage(source, output, encoder=target, crf=0)
    plain = {"bgr0": "gbrp"}.get(pixels, pixels)  # without the byte that means nothing
    assert (samples(output, plain) == samples(source, plain)).all()
    assert not pixel_losses(kept, dataclasses.replace(facts(), pixels=probe(output).pixels))


@pytest.mark.parametrize(
    ("encoder", "ending", "decoder"),
    [
        ("prores_ks", ".mov", ()),
        ("libvpx-vp9", ".webm", ("-c:v", "libvpx-vp9")),
        ("libvpx-vp9", ".mkv", ("-c:v", "libvpx-vp9")),
    ],
)
@pytest.mark.parametrize(
    ("by", "pixels"), [("ffv1", "bgra"), ("prores_ks", "yuva444p10le"), ("libvpx-vp9", "yuva420p")]
)
def test_lossy_encoders_keep_the_alpha(
    tmp_path: Path, by: str, pixels: str, encoder: str, ending: str, decoder: tuple[str, ...]
) -> None:
    source = painted(tmp_path / {"ffv1": "in.mkv", "prores_ks": "in.mov", "libvpx-vp9": "in.webm"}[by], by, pixels)
    output = tmp_path / f"out{ending}"
    media = passage(source, output, encoder=encoder)
    assert media.alpha
    assert probe(output).alpha
    beside = ("-c:v", "libvpx-vp9") if by == "libvpx-vp9" else ()
    before, after = (
        samples(path, "yuva444p", *how).reshape(3, 4, 48, 64)[:, 3].astype(int)
        for path, how in ((source, beside), (output, decoder))
    )
    assert np.abs(before - after).mean() < 4
    assert before.std() > 50


def test_alpha_that_the_encoder_cannot_take_is_left_out(tmp_path: Path) -> None:
    source = painted(tmp_path / "in.mkv", "ffv1", "bgra")
    passage(source, tmp_path / "out.mkv", encoder="libx264")
    assert not probe(tmp_path / "out.mkv").alpha
    assert "yuv444p" in listing(tmp_path / "out.mkv")


def test_odd_sizes_are_left_to_ffmpeg() -> None:
    clip = vs.core.std.BlankClip(width=65, height=49, format=vs.RGB24, length=1)
    piped = fit(clip, [dataclasses.asdict(Pixels("yuv", 8, 1, 1, name="yuv420p"))])
    assert (piped.pixels, piped.encoded) == ("yuv444p", "yuv420p")


def test_yuv_becomes_rgb_by_its_own_matrix_or_the_usual_one() -> None:
    takes = [dataclasses.asdict(Pixels("rgb", 8, name="rgb24"))]
    red = vs.core.std.BlankClip(width=64, height=48, format=vs.RGB24, color=[200, 20, 20], length=1)
    for matrix in (1, 6):
        clip = red.resize.Bicubic(format=vs.YUV444P8, matrix=matrix)
        for given in (clip, clip.std.SetFrameProps(_Matrix=2) if matrix == 6 else clip):
            frame = fit(given, takes).clip.get_frame(0)
            assert [
                abs(int(np.asarray(frame[plane])[0, 0]) - wanted) <= 2 for plane, wanted in enumerate((200, 20, 20))
            ] == [True] * 3


def test_a_clip_of_floats_gets_whole_numbers() -> None:
    clip = vs.core.std.BlankClip(width=64, height=48, format=vs.RGBS, color=[1.0, 0.5, 0], length=1)
    piped = fit(clip, [])
    assert (piped.pixels, piped.encoded) == ("gbrp16le", "")
    assert [int(np.asarray(piped.clip.get_frame(0)[plane])[0, 0]) for plane in range(3)] == [65535, 32768, 0]


def transparent(length: int = 4, computed: list[int] | None = None) -> vs.VideoNode:
    """A clip whose frame n has the alpha 10 * n; frame 2 has none."""
    clip = vs.core.std.BlankClip(width=16, height=8, format=vs.YUV420P8, length=length)
    grey = vs.core.std.BlankClip(width=16, height=8, format=vs.GRAY8, length=length)
    grey = grey.std.FrameEval(lambda n: grey.std.BlankClip(color=10 * n % 256))
    both = clip.std.ClipToProp(grey, "_Alpha")

    def work(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        if computed is not None:
            computed.append(n)
        out = f.copy()
        if n == 2:
            del out.props["_Alpha"]
        return out

    return both.std.ModifyFrame(both, work)


def test_a_frame_without_alpha_is_opaque_and_depths_are_full_range() -> None:
    takes = [dataclasses.asdict(Pixels("yuv", 10, 1, 1, alpha=True, name="yuva420p10le"))]
    piped = fit(transparent(), takes)
    assert piped.pixels == "yuva420p10le"
    assert piped.alpha is not None
    values = [int(np.asarray(frame[0])[0, 0]) for frame in piped.alpha.frames()]
    assert values == [0, round(10 * 1023 / 255), 1023, round(30 * 1023 / 255)]


def test_colour_and_alpha_are_computed_once() -> None:
    computed: list[int] = []
    piped = fit(transparent(40, computed), [dataclasses.asdict(Pixels("yuv", 8, 1, 1, alpha=True, name="yuva420p"))])
    computed.clear()
    assert piped.alpha is not None
    waiting = [(piped.clip.get_frame_async(n), piped.alpha.get_frame_async(n)) for n in range(40)]
    for futures in waiting:
        for future in futures:
            future.result().close()
    assert len(computed) <= 41


def test_a_turned_frame_takes_its_alpha_along() -> None:
    clip = show(transparent(), str(Fraction(25)), 4, [2], "th")
    frame = clip.get_frame(2)
    alpha = frame.props["_Alpha"]
    assert isinstance(alpha, vs.VideoFrame)
    assert (frame.width, frame.height, alpha.width, alpha.height) == (8, 16, 8, 16)
    assert int(np.asarray(alpha[0])[0, 0]) == 30


@pytest.mark.parametrize("pixels", ["gbrap10le", "gbrap16le"])
def test_deep_rgb_with_alpha_is_read_without_errors(tmp_path: Path, pixels: str) -> None:
    if not hasattr(vs.core, "bs"):
        pytest.skip("vapoursynth-bestsource is not installed")
    source = painted(tmp_path / "in.mkv", "ffv1", pixels)
    passage(source, tmp_path / "out.mkv", encoder="ffv1")
    assert (samples(tmp_path / "out.mkv", pixels) == samples(source, pixels)).all()


def test_deep_rgb_with_alpha_is_warned_of_without_bestsource(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(vs.core, "lsmas"):
        pytest.skip("no source filter")
    source = painted(tmp_path / "in.mkv", "ffv1", "gbrap16le")
    lines: list[str] = []

    class Core:
        lsmas = vs.core.lsmas

        @staticmethod
        def log_message(level: int, text: str) -> None:
            lines.append(text)

    monkeypatch.setattr(vs.core.__class__, "core", Core, raising=False)
    assert open_video(str(source), str(tmp_path / "a.lwi")).format.bits_per_sample == 16
    assert "pip install vapoursynth-bestsource" in lines[0]


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".ts", ".avi"])
def test_bestsource_alone_gives_the_same_frames(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(vs.core, "bs"):
        pytest.skip("vapoursynth-bestsource is not installed")

    class Core:
        bs = vs.core.bs

    monkeypatch.setattr(vs.core.__class__, "core", Core, raising=False)
    source = make(tmp_path / f"a{ending}", *VIDEO, *X264)
    media = probe(source)
    clip = open_video(str(source), str(tmp_path / "index"), media.video.index)
    monkeypatch.undo()
    shown = show(clip, str(media.rate), media.decoded, media.hidden, media.turn)
    assert (shown.num_frames, shown.fps) == (48, media.rate)
    planes = np.stack([np.asarray(frame[0]) for frame in shown.frames()])
    assert (planes == samples(source, "yuv444p").reshape(48, 3, 48, 64)[:, 0]).all()
