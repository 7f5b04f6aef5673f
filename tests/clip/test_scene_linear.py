"""Scene-linear light: highlights move instead of being cross-faded; other transfers are interpolated as coded."""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, arrays, painted
from vsvfi.clip.scene_linear import compressed, expanded, limited

LINEAR, LEFT, MOVE, PEAK = 8, 60, 12, 40.0


def highlight(name: str, transfer: int = LINEAR, peak: float = PEAK) -> vs.VideoNode:
    """A textured ground with a disc of a highlight that moves by 12 pixels from frame to frame."""
    y, x = np.mgrid[0:96, 0:160]
    generator = np.random.default_rng(3)
    ground = np.repeat(np.repeat(generator.uniform(0.05, 0.6, (12, 20)), 8, 0), 8, 1)

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        inside = np.clip(14.5 - np.hypot(x - LEFT - MOVE * n, y - 48), 0, 1)
        image = ground * (1 - inside) + peak * inside
        # Equal red, green and blue: no colour in YUV.
        array[:] = 0 if plane and name.startswith("YUV") else image

    props = {"_Transfer": transfer} | ({"_Matrix": 1, "_Range": 1} if name.startswith("YUV") else {})
    clip = painted(paint, format=getattr(vs, name), width=160, height=96, length=3, fpsnum=24)
    return clip.std.SetFrameProps(**props)


@pytest.mark.parametrize("name", ["RGBS", "RGBH", "YUV444PS", "GRAYS"])
def test_a_moving_highlight_is_where_it_moves(name: str) -> None:
    clip = highlight(name)
    result = vsvfi.interpolate(clip, device="cpu", scene="off")
    with result.get_frame(1) as frame:
        row = np.asarray(frame[0])[48].astype(np.float64)
        assert frame.props["_Transfer"] == LINEAR
    middle = LEFT + MOVE // 2
    assert row[middle - 10 : middle + 11].min() > 0.9 * PEAK
    assert row.max() <= PEAK * 1.001
    edges = (LEFT - 12, LEFT + MOVE + 12)  # inside of the disc of one source frame alone: half of it when cross-faded
    assert max(row[edge] for edge in edges) < 3
    for n in (0, 1, 2):
        with result.get_frame(2 * n) as shown, clip.get_frame(n) as source:
            assert all(np.array_equal(a, b) for a, b in zip(arrays(shown), arrays(source), strict=True))


@pytest.mark.parametrize("name", ["RGBS", "RGBH", "YUV444PS", "GRAYS", "GRAYH"])
@pytest.mark.parametrize("transfer", [1, 2, 16, 18])
def test_other_transfers_are_interpolated_as_coded(fake_family: Recorder, name: str, transfer: int) -> None:
    """The fake model blends linearly, so that a logarithm shows."""
    arguments = {"model": "fake", "weights": fake_family.weights, "device": "cpu", "scene": "off", "duplicates": "off"}
    with vsvfi.interpolate(highlight(name, transfer, peak=0.9), **arguments).get_frame(1) as frame:
        found = np.asarray(frame[0]).astype(np.float64)
    ends = [np.asarray(highlight(name, transfer, peak=0.9).get_frame(n)[0]).astype(np.float64) for n in (0, 1)]
    assert np.abs(found - (ends[0] + ends[1]) / 2).max() < (2e-3 if name.endswith("H") else 1e-5)


def test_whole_numbers_in_linear_light_are_interpolated_as_coded(fake_family: Recorder) -> None:
    plain, linear = highlight("RGBS", 1, 0.9), highlight("RGBS", LINEAR, 0.9)
    arguments = {"model": "fake", "weights": fake_family.weights, "device": "cpu", "scene": "off", "duplicates": "off"}
    frames = []
    for clip in (plain, linear):
        whole = clip.resize.Point(format=vs.RGB48).std.SetFrameProps(
            _Transfer=int(clip.get_frame(0).props["_Transfer"])
        )
        frames.append(arrays(vsvfi.interpolate(whole, **arguments).get_frame(1)))
    assert all(np.array_equal(a, b) for a, b in zip(*frames, strict=True))


def test_each_frame_says_whether_it_is_linear(fake_family: Recorder) -> None:
    arguments = {"model": "fake", "weights": fake_family.weights, "device": "cpu", "scene": "off", "duplicates": "off"}
    video, linear = highlight("RGBS", 1, 0.9), highlight("RGBS", LINEAR, 0.9)
    both = vsvfi.interpolate(video + linear, **arguments)
    for n, alone in ((1, vsvfi.interpolate(video, **arguments)), (7, vsvfi.interpolate(linear, **arguments))):
        with both.get_frame(n) as found, alone.get_frame(n % 6) as expected:
            assert all(np.array_equal(a, b) for a, b in zip(arrays(found), arrays(expected), strict=True))


def test_the_curve_is_bounded_and_invertible() -> None:
    values = np.float32([0, 1e-5, 0.001, 0.18, 1, 40, 1000, 65504, -0.001, -0.2, -5, 1e6])

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[0, :] = values

    clip = painted(paint, format=vs.RGBS, width=len(values), height=1, length=1)
    inside = np.asarray(compressed(clip).get_frame(0)[0])[0]
    assert inside[:8].min() >= 0
    assert inside[:8].max() <= 1 + 1e-6
    assert np.all(np.diff(inside[:8]) > 0)
    back = np.asarray(expanded(compressed(clip)).get_frame(0)[0])[0]
    np.testing.assert_allclose(back, values, rtol=1e-4, atol=1e-8)


def test_results_are_limited_to_the_range_of_both_frames() -> None:
    blank = vs.core.std.BlankClip(format=vs.RGBS, width=8, height=8, length=1)
    first, second = blank.std.Expr(["0.1", "0.2", "-1"]), blank.std.Expr(["0.5", "0.3", "0"])
    high, low = (limited(blank.std.Expr(str(level)), first, second).get_frame(0) for level in (9, -9))
    assert [float(np.asarray(high[plane])[0, 0]) for plane in range(3)] == pytest.approx([0.5, 0.3, 0])
    assert [float(np.asarray(low[plane])[0, 0]) for plane in range(3)] == pytest.approx([0.1, 0.2, -1])
