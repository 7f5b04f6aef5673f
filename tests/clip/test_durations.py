"""Durations of output frames follow each source frame's own, not the clip's average rate."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import pytest
import vapoursynth as vs

from tests.clip.clips import interpolated
from tests.fakes import Recorder, numbered, value
from vsvfi.clip.graph import interpolate_with_config
from vsvfi.options import Arguments
from vsvfi.plan.timed import timed
from vsvfi.plan.timeline import Interpolate

TRUE = [
    Fraction(1, 24),
    Fraction(1, 12),
    Fraction(41, 1000),
    Fraction(42, 1000),
    Fraction(1001, 30000),
    Fraction(1, 2),
    Fraction(1, 24),
]
RATE = Fraction(24)


def stamped(durations: list[tuple[int, int] | None], drawing: int = 1) -> vs.VideoNode:
    """A clip of 24 fps whose frames state these durations."""
    clip = numbered(length=len(durations))
    if drawing > 1:
        held = [n // drawing * drawing for n in range(len(durations))]
        clip = vs.core.std.Splice([clip[n] for n in held])

    def stamp(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        for name in ("_DurationNum", "_DurationDen"):
            out.props.pop(name, None)
        given = durations[n]
        if given is not None:
            out.props["_DurationNum"], out.props["_DurationDen"] = given
        return out

    return clip.std.ModifyFrame(clip, stamp)


def durations_of(clip: vs.VideoNode) -> list[Fraction]:
    found = []
    for frame in clip.frames(close=True):
        numerator, denominator = int(frame.props["_DurationNum"]), int(frame.props["_DurationDen"])
        found.append(Fraction(numerator, denominator))
        assert (found[-1].numerator, found[-1].denominator) == (numerator, denominator)
    return found


@pytest.mark.parametrize("multi", [1, 2, 3, Fraction(5, 2), Fraction(9, 8)])
@pytest.mark.parametrize("duplicates", ["skip", "retime"])
def test_true_durations_are_split_under_an_average_rate(
    fake_family: Recorder, multi: int | Fraction, duplicates: str
) -> None:
    clip = stamped([(d.numerator, d.denominator) for d in TRUE], drawing=2 if duplicates == "retime" else 1)
    result = interpolated(fake_family, clip, multi=multi, duplicates=duplicates)
    found = durations_of(result)
    assert result.fps == RATE * multi
    assert sum(found) == sum(TRUE)
    if isinstance(multi, int):
        assert found == [duration / multi for duration in TRUE for _ in range(multi)]


def test_frames_that_state_nothing_last_as_the_rate_says(fake_family: Recorder) -> None:
    clip = stamped([None, (0, 1), (-1, 24), (1, 0), (1, -24), (1, 10)])
    assert durations_of(interpolated(fake_family, clip)) == [Fraction(1, 48)] * 10 + [Fraction(1, 20)] * 2


def test_another_spelling_of_the_rate_changes_nothing(fake_family: Recorder) -> None:
    plain, spelled = numbered(length=4), stamped([(1000, 24000)] * 4)
    for multi in (2, Fraction(5, 2)):
        frames = [interpolated(fake_family, clip, multi=multi).frames() for clip in (plain, spelled)]
        for expected, found in zip(*frames, strict=True):
            assert dict(found.props) == dict(expected.props)


def lines_of(clip: vs.VideoNode) -> list[str]:
    lines: list[str] = []
    handle = vs.core.add_log_handler(lambda level, text: lines.append(text))
    try:
        assert sum(durations_of(clip)) == clip.num_frames / Fraction(clip.fps)
    finally:
        vs.core.remove_log_handler(handle)
    return [line for line in lines if "drift" in line]


def test_a_constant_target_rate_reports_frames_of_other_durations(fake_family: Recorder) -> None:
    true = interpolated(fake_family, stamped([(1, 24), (1, 24), (1, 12), (1, 8)]), fps=48)
    (line,) = lines_of(true)
    assert "source frame 2 lasts 0.0833 s, but the clip's rate of 24 says 0.0417 s" in line
    assert "use multi=" in line
    assert "or 'vsvfi render FILE --fps'" in line
    assert lines_of(interpolated(fake_family, stamped([(41, 1000), (42, 1000), (42, 1000), (41, 1000)]), fps=48)) == []


def test_a_negative_duration_without_a_rate_is_refused(fake_family: Recorder) -> None:
    clip = stamped([(1, 24), (-1, 24)])
    variable = clip.std.BlankClip(fpsnum=0, fpsden=1, keep=True).std.FrameEval(lambda n: clip)
    result = interpolated(fake_family, variable)
    result.get_frame(1)
    with pytest.raises(
        vs.Error, match="interpolate: frame 2: source frame 1 has a negative duration; set its duration"
    ):
        result.get_frame(2)


@pytest.mark.parametrize("fps", [24, 30, 60])
@pytest.mark.parametrize("duplicates", ["skip", "retime"])
def test_known_times_place_output_frames(fake_family: Recorder, fps: int, duplicates: str) -> None:
    """The image of source frame k is k / 100, so that an interpolated frame's value is its position."""
    begins = [*accumulate(TRUE[:5], initial=Fraction(3))]
    options: Arguments = {"model": "fake", "weights": fake_family.weights, "device": "cpu", "duplicates": duplicates}  # type: ignore[typeddict-item]
    result = interpolate_with_config(numbered(length=5), times=begins, fps=fps, **options).clip
    clock = timed(begins, 5, Fraction(fps))
    assert (result.fps, result.num_frames) == (fps, clock.length)
    expected = [
        float(min(clock.position(n), 4) if isinstance(clock.step(n), Interpolate) else clock.source_index(n))
        for n in range(clock.length)
    ]
    found = [value(frame) * 100 - 1 for frame in result.frames()]
    assert found == pytest.approx(expected, abs=0.02)
    assert sum(durations_of(result)) == begins[-1] - begins[0]


def test_times_that_do_not_fit_the_clip_are_refused(fake_family: Recorder) -> None:
    options: Arguments = {"model": "fake", "weights": fake_family.weights, "device": "cpu", "fps": 60}
    with pytest.raises(vs.Error, match="interpolate: times='3 values', must be those of 5 frames in order"):
        interpolate_with_config(numbered(length=5), times=[Fraction(n) for n in range(3)], **options)
