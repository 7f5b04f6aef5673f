"""interpolate() in real VapourSynth graphs with the fake family.

Timing, formats, props, order of requests, lifetime.
"""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
import vapoursynth as vs

from tests.clip.clips import interpolated, noise, times
from tests.fakes import Recorder, arrays, numbered, value

NTSC_FILM = Fraction(24000, 1001)

FORMATS = [
    *(f"YUV{sampling}P{bits}" for sampling in (420, 422, 444) for bits in (8, 10, 12, 16)),
    "YUV420PH", "YUV444PH", "YUV420PS", "YUV444PS", "YUV410P8", "YUV440P8",
    "RGB24", "RGB30", "RGB48", "RGBH", "RGBS", "GRAY8", "GRAY10", "GRAY16", "GRAYH", "GRAYS",
]  # fmt: skip


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
