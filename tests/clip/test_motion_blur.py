"""Motion blur: times within the shutter, averaged in linear light."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, arrays, numbered, painted, value
from vsvfi.plan.shutter import shuttered
from vsvfi.plan.timeline import Timeline


def interpolated(fake: Recorder, clip: vs.VideoNode, **arguments: object) -> vs.VideoNode:
    return vsvfi.interpolate(clip, **{"model": "fake", "weights": fake.weights, "device": "cpu", **arguments})


def light(code: float, transfer: int, back: bool = False) -> float:
    """A coded value in linear light, or back, by zimg."""
    ends = (8, transfer) if back else (transfer, 8)
    flat = vs.core.std.BlankClip(format=vs.RGBS, width=16, height=16, color=[code] * 3, length=1)
    return value(flat.resize.Point(transfer_in=ends[0], transfer=ends[1], primaries_in=1, primaries=1).get_frame(0))


@pytest.mark.parametrize("transfer", [1, 16, 18])
def test_times_within_the_shutter_are_averaged_in_linear_light(fake_family: Recorder, transfer: int) -> None:
    source = numbered(length=6, step=0.1).std.SetFrameProps(_Transfer=transfer)
    plain = interpolated(fake_family, source, multi=2)
    result = interpolated(fake_family, source, multi=2, shutter=180, shutter_samples=4)
    assert (result.num_frames, result.fps) == (plain.num_frames, plain.fps)
    for n in (0, 1, 5, 9):
        positions = [n / 2 + sample / 16 for sample in range(4)]
        codes = [0.1 * (min(position, 5) + 1) for position in positions]
        expected = light(float(np.mean([light(code, transfer) for code in codes])), transfer, back=True)
        frame = result.get_frame(n)
        assert value(frame) == pytest.approx(expected, abs=2e-4)
        assert dict(frame.props) == dict(plain.get_frame(n).props)


@pytest.mark.parametrize("name", ["YUV420P8", "GRAY16", "RGBH"])
def test_what_stands_still_is_passed_through(fake_family: Recorder, name: str) -> None:
    generator = np.random.default_rng(3)
    still = generator.random((16, 32))

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        scale = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
        array[:] = (still[: array.shape[0], : array.shape[1]] * scale).astype(array.dtype)

    source = painted(paint, format=getattr(vs, name), width=32, height=16, length=4)
    result = interpolated(fake_family, source, shutter=360)
    for n in range(8):
        assert all(map(np.array_equal, arrays(result.get_frame(n)), arrays(source.get_frame(n // 2))))


def test_no_blur_crosses_a_cut(fake_family: Recorder) -> None:
    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = 0.2 if n < 3 else 0.8

    scenes = painted(paint, format=vs.RGBS, width=32, height=16, length=6)
    source = scenes.std.FrameEval(
        lambda n: scenes.std.SetFrameProps(_SceneChangeNext=int(n == 2), _SceneChangePrev=int(n == 3))
    )
    result = interpolated(fake_family, source, shutter=360, duplicates="off")
    assert [round(value(frame), 5) for frame in result.frames(close=True)] == [0.2] * 6 + [0.8] * 6
    marks = [frame.props.get("_SceneChangePrev") for frame in result.frames(close=True)]
    assert [n for n, mark in enumerate(marks) if mark] == [6]


def test_samples_lie_between_an_output_frame_and_the_next() -> None:
    samples = shuttered(Timeline(Fraction(5, 2), 4, Fraction(24)), Fraction(180), 4)
    assert samples.length == 40
    assert [samples.position(n) for n in range(9)] == [Fraction(n // 4 * 2, 5) + Fraction(n % 4, 20) for n in range(9)]
    assert samples.position(39) == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"shutter": 0}, "shutter=0, must be a number of degrees above 0 and up to 360"),
        ({"shutter": 361}, "shutter=361, must be"),
        ({"shutter": 180, "shutter_samples": 1}, "shutter_samples=1, must be a whole number from 2 to 31"),
    ],
)
def test_shutters_that_do_not_exist_are_refused(fake_family: Recorder, arguments: dict[str, object], told: str) -> None:
    with pytest.raises(vs.Error, match=told):
        interpolated(fake_family, numbered(length=2), **arguments)


def test_a_transfer_without_an_inverse_is_refused(fake_family: Recorder) -> None:
    source = numbered(length=2).std.SetFrameProps(_Transfer=12)
    with pytest.raises(vs.Error, match="_Transfer 12"):
        interpolated(fake_family, source, shutter=180)


def test_a_first_frame_that_cannot_be_read_stops_nothing_else(fake_family: Recorder) -> None:
    good = numbered(length=4)

    def fail(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        if n == 0:
            raise ValueError("broken")
        return f

    result = interpolated(fake_family, good.std.ModifyFrame(good, fail), shutter=180)
    whole = interpolated(fake_family, good, shutter=180)
    assert np.array_equal(arrays(result.get_frame(5))[0], arrays(whole.get_frame(5))[0])


def test_alpha_is_averaged_like_the_image_it_belongs_to(fake_family: Recorder) -> None:
    """Of every sample, in plain numbers: coverage is linear. What stands still keeps its own."""
    codes = [0, 80, 160, 160]
    alpha = vs.core.std.Splice(
        [vs.core.std.BlankClip(format=vs.GRAY8, width=32, height=16, length=1, color=code) for code in codes]
    )
    image = painted(lambda n, plane, array: array.fill(0.1 * n + 0.2), format=vs.GRAYS, width=32, height=16, length=4)
    result = interpolated(
        fake_family, image.std.ClipToProp(alpha, prop="_Alpha"), multi=2, shutter=180, shutter_samples=4
    )
    for n in range(7):
        positions = [min(n / 2 + sample / 16, 3) for sample in range(4)]
        expected = np.mean([np.interp(position, range(4), codes) for position in positions])
        found = result.get_frame(n).props["_Alpha"]
        assert isinstance(found, vs.VideoFrame)
        assert float(np.asarray(found[0])[3, 5]) == pytest.approx(expected, abs=1), n
