"""interpolate() in real VapourSynth graphs with the fake family.

Timing, formats, props, order of requests, lifetime.
"""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, arrays, numbered, painted, value

NTSC_FILM = Fraction(24000, 1001)

FORMATS = [
    *(f"YUV{sampling}P{bits}" for sampling in (420, 422, 444) for bits in (8, 10, 12, 16)),
    "YUV420PH", "YUV444PH", "YUV420PS", "YUV444PS", "YUV410P8", "YUV440P8",
    "RGB24", "RGB30", "RGB48", "RGBH", "RGBS", "GRAY8", "GRAY10", "GRAY16", "GRAYH", "GRAYS",
]  # fmt: skip


def interpolated(fake: Recorder, clip: vs.VideoNode, **arguments: object) -> vs.VideoNode:
    return vsvfi.interpolate(clip, **{"model": "fake", "weights": fake.weights, "device": "cpu", **arguments})


def times(clip: vs.VideoNode) -> list[Fraction]:
    with_durations = [
        Fraction(int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"]))
        for frame in clip.frames(close=True)
    ]
    for frame in clip.frames(close=True):
        assert (
            Fraction(int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"])).denominator
            == frame.props["_DurationDen"]
        )
    return with_durations


# --- timeline
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"multi": 2},
        {"multi": 3},
        {"multi": Fraction(5, 2)},
        {"multi": "3/2"},
        {"fps": 60},
        {"fps": (60000, 1001)},
        {"fps": "119.88"},
    ],
)
def test_every_frame_shows_its_time(fake_family: Recorder, arguments: dict[str, object]) -> None:
    clip = numbered(length=9, fpsnum=24000, fpsden=1001)
    result = interpolated(fake_family, clip, **arguments)
    factor = Fraction(result.fps) / NTSC_FILM
    assert result.num_frames == -(-9 * factor.numerator // factor.denominator)
    assert sum(times(result)) == 9 / NTSC_FILM
    for n, frame in enumerate(result.frames(close=True)):
        position = min(n / factor, Fraction(8))
        nearest = round(position)
        if abs(position - nearest) <= Fraction(1, 100):
            position = Fraction(nearest)
        assert value(frame) == pytest.approx(float(position + 1) * 0.01, abs=1e-6)
        if n < result.num_frames - 1:
            assert Fraction(int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"])) == 1 / Fraction(
                result.fps
            )


def test_bisection_by_option_reaches_the_same_grid(fake_family: Recorder) -> None:
    """A third becomes 5/16, as for a model limited to the midpoint."""
    shown = []
    for arguments in ({"options": {"times": "halving"}}, {"model": "fake_half"}, {}):
        result = interpolated(fake_family, numbered(length=2), multi=3, **arguments)
        with result.get_frame(1) as frame:
            shown.append(value(frame))
    assert shown == pytest.approx([0.01 * 21 / 16, 0.01 * 21 / 16, 0.01 * 4 / 3], abs=1e-7)


def test_a_lower_rate_than_the_source(fake_family: Recorder) -> None:
    result = interpolated(fake_family, numbered(length=10, fpsnum=60), fps=24)
    assert (result.num_frames, result.fps) == (4, 24)
    assert [round(value(frame) * 100, 3) for frame in result.frames(close=True)] == [1, 3.5, 6, 8.5]
    assert sum(times(result)) == Fraction(10, 60)


def test_variable_rate_keeps_every_duration(fake_family: Recorder) -> None:
    durations = [Fraction(1, 24), Fraction(1001, 30000), Fraction(1, 10), Fraction(1, 24)]
    parts = [
        numbered(length=4)[k].std.SetFrameProps(_DurationNum=d.numerator, _DurationDen=d.denominator)
        for k, d in enumerate(durations)
    ]
    clip = vs.core.std.Splice(
        [
            parts[0],
            parts[1].std.AssumeFPS(fpsnum=30).std.SetFrameProps(_DurationNum=1001, _DurationDen=30000),
            *parts[2:],
        ]
    )
    clip = vs.core.std.ModifyFrame(clip, clip, lambda n, f: stamped(f, durations[n]))
    assert clip.fps == 0
    for multi in (2, 3, Fraction(5, 2)):
        result = interpolated(fake_family, clip, multi=multi)
        assert result.fps == 0
        assert sum(times(result)) == sum(durations)
        if multi == 3:
            assert times(result) == [duration / 3 for duration in durations for _ in range(3)]
    with pytest.raises(
        vs.Error, match=r"interpolate: fps='60', needs a clip of constant frame rate; use multi=, or .*AssumeFPS"
    ):
        interpolated(fake_family, clip, fps=60)


def stamped(frame: vs.VideoFrame, duration: Fraction) -> vs.VideoFrame:
    out = frame.copy()
    out.props["_DurationNum"], out.props["_DurationDen"] = duration.numerator, duration.denominator
    return out


def test_variable_rate_without_durations_stays_without(fake_family: Recorder) -> None:
    clip = numbered(length=3).std.RemoveFrameProps(["_DurationNum", "_DurationDen"])
    template = clip.std.BlankClip(fpsnum=0, fpsden=1, keep=True)
    result = interpolated(fake_family, template.std.FrameEval(lambda n: clip))
    assert result.fps == 0
    assert "_DurationNum" not in result.get_frame(1).props


@pytest.mark.parametrize("arguments", [{}, {"multi": Fraction(5, 2)}, {"duplicates": "retime"}])
def test_placeholder_clips_cost_nothing(fake_family: Recorder, arguments: dict[str, object]) -> None:
    requested: list[int] = []
    blank = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=32, length=2**31 - 1, fpsnum=24, keep=True)
    clip = blank.std.FrameEval(lambda n: requested.append(n) or blank)
    result = interpolated(fake_family, clip, **arguments)
    assert result.num_frames == 2**31 - 1
    assert requested == []
    result.get_frame(2**31 - 2)
    result.get_frame(0)
    assert len(requested) < 60


def test_one_frame_is_held(fake_family: Recorder) -> None:
    result = interpolated(fake_family, numbered(length=1))
    assert [value(frame) for frame in result.frames(close=True)] == [pytest.approx(0.01)] * 2


def test_factor_one_changes_nothing(fake_family: Recorder) -> None:
    clip = numbered(length=3)
    result = interpolated(fake_family, clip, multi=1)
    assert [value(frame) for frame in result.frames(close=True)] == [value(frame) for frame in clip.frames(close=True)]


# --- formats and props
# ----------------------------------------------------------------------------------------------------------------------


def noise(name: str, length: int = 3, moving: bool = False, smooth_chroma: bool = True) -> vs.VideoNode:
    """Every code of a format.

    The chroma of subsampled formats is flat, since resampling it is not lossless.
    """
    video_format = vs.core.get_video_format(getattr(vs, name))
    subsampled = video_format.subsampling_w or video_format.subsampling_h

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        generator = np.random.default_rng([plane, n if moving else 0])
        chroma = plane > 0 and video_format.color_family == vs.YUV
        if chroma and subsampled and smooth_chroma:
            array[:] = 0.1 if video_format.sample_type == vs.FLOAT else 3 << (video_format.bits_per_sample - 3)
        elif video_format.sample_type == vs.INTEGER:
            array[:] = generator.integers(0, 1 << video_format.bits_per_sample, array.shape)
        else:
            array[:] = generator.uniform(-0.5 if chroma else -0.2, 0.5 if chroma else 1.2, array.shape)

    return painted(paint, format=getattr(vs, name), width=64, height=48, length=length, fpsnum=24)


PROPS: list[dict[str, int]] = [
    {},
    {"_Matrix": 1, "_Range": 0},
    {"_Matrix": 9, "_Range": 1, "_Transfer": 16, "_Primaries": 9, "_ChromaLocation": 2},
    {"_Matrix": 2},
]


@pytest.mark.parametrize("props", PROPS, ids=["bare", "709", "HDR full", "unspecified"])
@pytest.mark.parametrize("name", FORMATS)
def test_static_content_comes_back(fake_family: Recorder, name: str, props: dict[str, int]) -> None:
    clip = noise(name)
    family = clip.format.color_family
    if family == vs.RGB:
        props = {key: item for key, item in props.items() if key != "_Matrix"}
    clip = clip.std.SetFrameProps(_Note=5, _AbsoluteTime=1.5, **props)
    result = interpolated(fake_family, clip, duplicates="off")
    assert result.format.id == clip.format.id
    source, same, between = clip.get_frame(1), result.get_frame(2), result.get_frame(3)
    for ours, theirs in zip(arrays(same), arrays(source), strict=True):
        assert np.array_equal(ours, theirs)
    tolerance = 1 if clip.format.sample_type == vs.INTEGER else 2e-3 if name.endswith("H") else 1e-5
    for ours, theirs in zip(arrays(between), arrays(source), strict=True):
        assert np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max() <= tolerance
    timing = {"_DurationNum", "_DurationDen"}
    assert {k: v for k, v in same.props.items() if k not in timing} == {
        k: v for k, v in source.props.items() if k not in timing
    }
    assert {k: v for k, v in between.props.items() if k not in timing} == {
        k: v for k, v in source.props.items() if k not in {*timing, "_AbsoluteTime"}
    }


def test_blended_frames_are_blended_in_the_coded_signal(fake_family: Recorder) -> None:
    clip = noise("YUV444P10", length=2, moving=True).std.SetFrameProps(_Matrix=9, _Transfer=16, _Primaries=9, _Range=0)
    middle = interpolated(fake_family, clip, duplicates="off", scene="off").get_frame(1)
    for ours, first, second in zip(arrays(middle), arrays(clip.get_frame(0)), arrays(clip.get_frame(1)), strict=True):
        assert np.abs(ours.astype(float) - (first.astype(float) + second.astype(float)) / 2).max() <= 1


@pytest.mark.parametrize(("height", "matrix"), [(480, 6), (576, 5), (720, 1), (1080, 1)])
def test_the_matrix_is_guessed_by_height(height: int, matrix: int) -> None:
    from vsvfi.clip.colour import Colour

    clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=64, height=height, length=1)
    with clip.get_frame(0) as frame:
        assert Colour(clip, vs.RGBS, None).coding(frame.props).matrix == matrix
        assert Colour(clip, vs.RGBS, 9).coding(frame.props).matrix == 9
    with clip.std.SetFrameProps(_Matrix=7).get_frame(0) as frame:
        assert Colour(clip, vs.RGBS, 9).coding(frame.props).matrix == 7
    with clip.std.SetFrameProps(_Matrix=14).get_frame(0) as frame:
        assert Colour(clip, vs.RGBS, None).coding(frame.props).matrix == 9


def test_colours_are_read_as_the_frame_says(fake_family: Recorder) -> None:
    """The model sees true RGB: BT.709 limited-range red is red."""
    red = vs.core.std.BlankClip(
        format=vs.YUV444P8, width=16, height=16, length=2, color=[63, 102, 240], fpsnum=24
    ).std.SetFrameProps(_Matrix=1, _Range=0)
    interpolated(fake_family, red, duplicates="off").get_frame(1)
    seen = [detail for phase, detail in fake_family.calls if phase == "encode"]
    assert seen == [pytest.approx(1, abs=0.01)] * 2


def test_frames_may_differ_in_their_colours(fake_family: Recorder) -> None:
    clip = noise("YUV444P8", length=4)
    clip = clip[:2].std.SetFrameProps(_Matrix=1, _Range=0) + clip[2:].std.SetFrameProps(_Matrix=6, _Range=1)
    result = interpolated(fake_family, clip, duplicates="off", scene="off")
    for n, matrix in ((1, 1), (5, 6)):
        frame = result.get_frame(n)
        assert frame.props["_Matrix"] == matrix
        assert all(
            np.abs(a.astype(int) - b.astype(int)).max() <= 1
            for a, b in zip(arrays(frame), arrays(clip.get_frame(0)), strict=True)
        )


# --- scenes and duplicates
# ------------------------------------------------------------------------------------------------------------------


def marked(clip: vs.VideoNode, cut_after: int) -> vs.VideoNode:
    def mark(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        out.props["_SceneChangeNext"], out.props["_SceneChangePrev"] = int(n == cut_after), int(n == cut_after + 1)
        return out

    return clip.std.ModifyFrame(clip, mark)


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


def held(drawings: list[int]) -> vs.VideoNode:
    """A clip that shows drawing d as a flat image of value d / 100."""

    def paint(n: int, plane: int, array: np.ndarray) -> None:
        array[:] = drawings[n] / 100

    return painted(paint, format=vs.RGBS, width=32, height=16, length=len(drawings), fpsnum=24)


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


# --- requests, caches, errors at frame time
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multi", [2, 5])
def test_playback_computes_everything_once(fake_family: Recorder, multi: int) -> None:
    result = interpolated(fake_family, numbered(length=12), multi=multi)
    for frame in result.frames(close=True):
        frame.close()
    assert fake_family.counts() == {"encode": 12, "prepare": 11, "synthesise": 11 * (multi - 1)}


def test_any_order_of_requests_gives_the_same_frames(fake_family: Recorder) -> None:
    result = interpolated(
        fake_family, noise("YUV444P8", length=8, moving=True), multi=3, duplicates="off", scene="off", streams=3
    )
    expected = [arrays(frame) for frame in result.frames(close=True)]
    order = [*reversed(range(24)), *random.Random(2).choices(range(24), k=60)]
    again = interpolated(
        fake_family, noise("YUV444P8", length=8, moving=True), multi=3, duplicates="off", scene="off", cache=1
    )
    pending = [(n, again.get_frame_async(n)) for n in order]
    for n, future in pending:
        with future.result() as frame:
            assert all(np.array_equal(a, b) for a, b in zip(arrays(frame), expected[n], strict=True))


def test_several_devices_share_the_work(fake_family: Recorder) -> None:
    with pytest.raises(vs.Error, match="a list must name different devices"):
        interpolated(fake_family, numbered(), device=["cpu", "cpu"])


# --- curves
# ------------------------------------------------------------------------------------------------------------------


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
