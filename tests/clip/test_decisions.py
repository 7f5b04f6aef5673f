"""What interpolate() shows at scene changes, for excluded and duplicate frames, and along curves."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs

from tests.clip.clips import held, interpolated, marked, noise, times
from tests.fakes import Recorder, arrays, numbered, value


@pytest.mark.parametrize("scene", ["auto", "props"])
def test_cuts_hold_the_frame_before(fake_family: Recorder, scene: str) -> None:
    result = interpolated(fake_family, marked(numbered(length=6), 2), multi=3, scene=scene)
    frames = [
        (round(value(frame) * 100, 3), frame.props["_SceneChangePrev"], frame.props["_SceneChangeNext"])
        for frame in result.frames(close=True)
    ]
    assert [shown for shown, _, _ in frames[6:10]] == [3, 3, 3, 4]
    assert [n for n, (_, first, _) in enumerate(frames) if first] == [9]
    assert [n for n, (_, _, last) in enumerate(frames) if last] == [8]


def test_without_scenes_cuts_are_blended_but_marked_right(fake_family: Recorder) -> None:
    result = interpolated(fake_family, marked(numbered(length=6), 2), scene="off")
    frames = list(result.frames())
    assert value(frames[5]) == pytest.approx(0.035)
    assert [n for n, frame in enumerate(frames) if frame.props["_SceneChangeNext"]] == [5]


def test_frames_around_a_cut_are_cross_faded_on_request(fake_family: Recorder) -> None:
    clip = marked(numbered(length=6), 2)
    result = interpolated(fake_family, clip, multi=4, scene_change="blend")
    shown = [value(frame) * 100 for frame in result.frames(close=True)]
    assert shown[8:13] == pytest.approx([3, 3.25, 3.5, 3.75, 4])
    assert fake_family.counts()["synthesise"] == 12  # 3 for each of the other 4 steps
    nearest = interpolated(fake_family, clip, multi=4, scene_change="nearest")
    assert [round(value(frame) * 100, 3) for frame in nearest.frames(close=True)][8:13] == [3, 3, 3, 4, 4]


@pytest.mark.parametrize("name", ["YUV420P8", "YUV422P16", "RGBH", "GRAYS"])
def test_a_cross_fade_mixes_the_samples_of_every_format(fake_family: Recorder, name: str) -> None:
    source = marked(noise(name, length=4), 1)
    result = interpolated(fake_family, source, multi=4, scene_change="blend")
    for first, second, mixed in zip(
        arrays(source.get_frame(1)), arrays(source.get_frame(2)), arrays(result.get_frame(5)), strict=True
    ):
        error = np.abs(first * np.float64(0.75) + second * np.float64(0.25) - mixed).max()
        assert error <= (0.5 if first.dtype.kind == "u" else 1e-3)


def test_excluded_frames_are_repeated(fake_family: Recorder) -> None:
    result = interpolated(fake_family, numbered(length=6), exclude="[1 2]")
    assert [round(value(frame) * 100, 3) for frame in result.frames(close=True)][:8] == [1, 1.5, 2, 2, 3, 3, 4, 4.5]
    with pytest.raises(vs.Error, match=r"exclude='\[5 6\]', must lie within the clip, which has 6 frames"):
        interpolated(fake_family, numbered(length=6), exclude=[(5, 6)])


def test_own_detection_marks_a_real_cut(fake_family: Recorder) -> None:
    dark, light = (
        noise("YUV420P8", length=6).std.Levels(min_in=0, max_in=255, min_out=low, max_out=high, planes=0)
        for low, high in ((20, 60), (160, 230))
    )
    result = interpolated(fake_family, dark + light, duplicates="off")
    frames = list(result.frames())
    assert [n for n, frame in enumerate(frames) if frame.props.get("_SceneChangeNext", 0)] == [11]
    assert [n for n, frame in enumerate(frames) if frame.props.get("_SceneChangePrev", 0)] == [12]
    assert np.array_equal(arrays(frames[11])[0], arrays(frames[10])[0])


def test_duplicates_are_not_computed(fake_family: Recorder) -> None:
    result = interpolated(fake_family, held([1, 1, 4, 4, 7]))
    assert [round(value(frame) * 100, 3) for frame in result.frames(close=True)] == [1, 1, 1, 2.5, 4, 4, 4, 5.5, 7, 7]
    assert fake_family.counts()["synthesise"] == 2


def test_held_drawings_become_even_motion(fake_family: Recorder) -> None:
    result = interpolated(fake_family, held([10, 10, 14, 14, 18, 18, 18, 24]), duplicates="retime")
    shown = [round(value(frame) * 100, 3) for frame in result.frames(close=True)]
    assert shown == [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 24]
    assert sum(times(result)) == Fraction(8, 24)
    shuffled = list(range(result.num_frames))
    random.Random(1).shuffle(shuffled)
    assert [round(value(result.get_frame(n)) * 100, 3) for n in shuffled] == [shown[n] for n in shuffled]


def test_a_curve_places_every_frame(fake_family: Recorder) -> None:
    positions = [0, 0.25, 0.5, 4, 4.5, 3, 2.75, 2.75, 11, 0]
    result = interpolated(fake_family, numbered(length=12), curve=positions)
    assert result.num_frames == len(positions)
    assert result.fps == 48
    for n in random.Random(1).sample(range(10), 10):
        frame = result.get_frame(n)
        assert value(frame) == pytest.approx((positions[n] + 1) * 0.01, abs=1e-6)
        assert Fraction(int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"])) == Fraction(1, 48)
    backwards = interpolated(fake_family, numbered(length=12), curve=lambda n: 11 - Fraction(n, 3), multi=2, fps=30)
    assert (backwards.num_frames, backwards.fps) == (24, 30)
    assert value(backwards.get_frame(4)) == pytest.approx((12 - 4 / 3) * 0.01, abs=1e-6)


def test_a_curve_remaps_retimed_drawings(fake_family: Recorder) -> None:
    result = interpolated(fake_family, held([1, 1, 2, 2, 3, 3]), curve=[3, 2, 1, 0], duplicates="retime")
    assert [round(value(frame) * 100, 3) for frame in result.frames(close=True)] == [2.5, 2, 1.5, 1]
