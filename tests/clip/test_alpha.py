"""`_Alpha` of interpolated frames: interpolated like the image, free if unchanged, kept if missing."""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from tests.clip.clips import interpolated
from tests.fakes import Recorder, arrays, numbered, painted

ALPHA_FORMATS = ["GRAY8", "GRAY10", "GRAY16", "GRAYH", "GRAYS"]


def flat(values: list[float], name: str = "GRAY8", width: int = 32, height: int = 16) -> vs.VideoNode:
    """Alpha frames of one value each, in the format's codes."""

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = values[n]

    return painted(paint, format=getattr(vs, name), width=width, height=height, length=len(values), fpsnum=24)


def alphas(clip: vs.VideoNode) -> list[float | None]:
    """The first sample of each frame's alpha."""
    found: list[float | None] = []
    for frame in clip.frames(close=True):
        alpha = frame.props.get("_Alpha")
        found.append(float(np.asarray(alpha[0])[0, 0]) if isinstance(alpha, vs.VideoFrame) else None)
    return found


def warnings_of(clip: vs.VideoNode) -> list[str]:
    lines: list[str] = []
    handle = vs.core.add_log_handler(lambda level, text: lines.append(text))
    try:
        for frame in clip.frames(close=True):
            frame.close()
    finally:
        vs.core.remove_log_handler(handle)
    return [line for line in lines if "_Alpha" in line]


def moving_box(length: int = 6) -> vs.VideoNode:
    """A light box on a dark ground that moves by 8 pixels, and its alpha."""

    def drawn(format_id: int, low: int, high: int) -> vs.VideoNode:
        def paint(n: int, plane: int, array: np.ndarray) -> None:
            array[:] = 128 if plane else low
            if plane == 0:
                array[30:60, 10 + 8 * n : 50 + 8 * n] = high

        return painted(paint, format=format_id, width=160, height=96, length=length, fpsnum=24)

    alpha = drawn(vs.GRAY8, 0, 255).std.SetFrameProps(_Note=7)
    return drawn(vs.YUV420P8, 30, 200).std.ClipToProp(alpha, prop="_Alpha")


def test_the_edge_of_the_alpha_follows_the_edge_of_the_image() -> None:
    result = vsvfi.interpolate(moving_box(), device="cpu", multi=4)
    for n in range(16):
        with result.get_frame(n) as frame:
            alpha = frame.props["_Alpha"]
            opaque = np.asarray(alpha[0])[45] > 127
            light = np.asarray(frame[0])[45] > 115
            assert abs(int(np.argmax(opaque)) - int(np.argmax(light))) <= 1
            assert abs(int(opaque.sum()) - int(light.sum())) <= 1
            assert alpha.props["_Note"] == 7
            assert np.asarray(alpha[0]).max() == 255
            assert np.asarray(alpha[0]).min() == 0


@pytest.mark.parametrize("name", ALPHA_FORMATS)
@pytest.mark.parametrize("duplicates", ["skip", "retime"])
def test_alphas_of_every_format_are_interpolated(fake_family: Recorder, name: str, duplicates: str) -> None:
    scale = 1.0 if name in ("GRAYH", "GRAYS") else float(2 ** int(name[4:]) - 1)
    values = [0.0, scale, 0.5 * scale]
    clip = numbered(length=3).std.ClipToProp(flat(values, name), prop="_Alpha")
    result = interpolated(fake_family, clip, multi=2, duplicates=duplicates)
    tolerance = 2e-3 if name == "GRAYH" else 1e-6 if name == "GRAYS" else 1
    codes = [float(int(value)) if scale > 1 else value for value in values]
    expected = [codes[0], scale / 2, codes[1], 0.75 * scale, codes[2], codes[2]]
    assert alphas(result) == pytest.approx(expected, abs=tolerance)
    with result.get_frame(1) as frame:
        assert frame.props["_Alpha"].format.name == vs.core.get_video_format(getattr(vs, name)).name


def test_equal_alphas_and_clips_without_any_cost_nothing(fake_family: Recorder) -> None:
    counts = []
    for clip in (numbered(length=4), numbered(length=4).std.ClipToProp(flat([90] * 4), prop="_Alpha")):
        fake_family.calls.clear()
        found = alphas(interpolated(fake_family, clip))
        counts.append(fake_family.counts())
    assert counts[0] == counts[1]
    assert found == [90] * 8


def test_copies_keep_the_alpha_of_their_frame(fake_family: Recorder) -> None:
    clip = numbered(length=4).std.ClipToProp(flat([0, 50, 200, 255]), prop="_Alpha")
    clip = clip.std.SetFrameProps(_SceneChangeNext=0)
    cut = clip[:2].std.FrameEval(lambda n: clip.std.SetFrameProps(_SceneChangeNext=1) if n == 1 else clip) + clip[2:]
    assert alphas(interpolated(fake_family, cut)) == [0, 25, 50, 50, 200, pytest.approx(228, abs=1), 255, 255]


def test_frames_without_alpha_keep_what_is_before_them(fake_family: Recorder) -> None:
    plain, with_alpha = (
        numbered(length=5),
        numbered(length=5).std.ClipToProp(flat([0, 100, 0, 200, 100]), prop="_Alpha"),
    )
    mixed = with_alpha[:2] + plain[2] + with_alpha[3:]
    result = interpolated(fake_family, mixed)
    assert alphas(result) == [0, 50, 100, 100, None, None, 200, 150, 100, 100]
    assert len(warnings_of(interpolated(fake_family, mixed))) == 1


def test_alpha_that_begins_late_is_reported(fake_family: Recorder) -> None:
    late = numbered(length=4)[:2] + numbered(length=4).std.ClipToProp(flat([0, 0, 100, 200]), prop="_Alpha")[2:]
    assert alphas(interpolated(fake_family, late)) == [None, None, None, None, 100, 100, 200, 200]
    (line,) = warnings_of(interpolated(fake_family, late))
    assert "frame 5 keeps the _Alpha of the source frame before it" in line


@pytest.mark.parametrize("alpha", [5, "text", [1, 2]])
def test_a_prop_that_is_no_alpha_is_passed_on(fake_family: Recorder, alpha: object) -> None:
    result = interpolated(fake_family, numbered(length=2).std.SetFrameProps(_Alpha=alpha))
    with result.get_frame(1) as frame:
        assert frame.props["_Alpha"] in (alpha, b"text")


def test_an_alpha_of_another_size_is_passed_on(fake_family: Recorder) -> None:
    clip = numbered(length=2).std.ClipToProp(flat([10, 20], width=16), prop="_Alpha")
    assert alphas(interpolated(fake_family, clip)) == [10, 10, 20, 20]


def test_images_are_the_same_with_and_without_alpha(fake_family: Recorder) -> None:
    clip = numbered(length=4)
    with_alpha = clip.std.ClipToProp(flat([0, 50, 200, 255]), prop="_Alpha")
    for plain, shown in zip(*(interpolated(fake_family, c, multi=3).frames() for c in (clip, with_alpha)), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(arrays(plain), arrays(shown), strict=True))
