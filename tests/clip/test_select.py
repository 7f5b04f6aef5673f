"""Index mapping: exactly floor(n / factor) + offset, at a cost that does not grow with the ratio's digits."""

from __future__ import annotations

import random
import resource
import time
from fractions import Fraction

import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder
from vsvfi.clip import select
from vsvfi.clip.select import Selection
from vsvfi.plan.timeline import LARGEST_LENGTH, Timeline

FACTORS = [
    Fraction(1), Fraction(2), Fraction(5, 2), Fraction(1, 3), Fraction(3, 7), Fraction(1001, 400), Fraction(3999999,
    4000), Fraction(4000000, 3999999),
    Fraction(1251249, 500000), Fraction(10**12 + 39, 10**12), Fraction(10**12, 8 * 10**12 - 1), Fraction(1000),
    Fraction(2**61 - 1, 2**60 + 3),
]  # fmt: skip


def numbered_by_size(length: int) -> vs.VideoNode:
    """A clip whose frame n carries n as a property; without pixels worth speaking of."""
    blank = vs.core.std.BlankClip(width=1, height=1, format=vs.GRAY8, length=length, keep=True)

    def mark(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        out.props["n"] = n
        return out

    return blank.std.ModifyFrame(blank, mark)


def shown(node: vs.VideoNode, n: int) -> int:
    with node.get_frame(n) as frame:
        return int(frame.props["n"])


def wanted(timeline: Timeline, n: int, offset: int) -> int:
    index = n * timeline.factor.denominator // timeline.factor.numerator + offset
    return min(max(index, 0), timeline.source_length - 1)


@pytest.mark.parametrize("factor", FACTORS, ids=str)
@pytest.mark.parametrize("length", [1, 2, 9, 40])
def test_every_frame_of_a_short_clip(monkeypatch: pytest.MonkeyPatch, factor: Fraction, length: int) -> None:
    for longest in (2048, 1001):
        monkeypatch.setattr(select, "_LONGEST_CYCLE", longest)
        timeline = Timeline(factor, length, None)
        clip = numbered_by_size(length)
        frames = (
            range(timeline.length)
            if timeline.length < 200
            else sorted(random.Random(0).sample(range(timeline.length), 100))
        )
        for offset in (-5, -1, 0, 1, 5):
            node = Selection(timeline).aligned(clip, offset)
            assert [shown(node, n) for n in frames] == [wanted(timeline, n, offset) for n in frames]


@pytest.mark.parametrize("factor", FACTORS, ids=str)
@pytest.mark.parametrize(
    "length", [10**6 + 7, LARGEST_LENGTH // 7, LARGEST_LENGTH // 2 + 1, LARGEST_LENGTH - 1, LARGEST_LENGTH]
)
def test_any_frame_of_a_long_clip(factor: Fraction, length: int) -> None:
    timeline = Timeline(factor, length, None)
    clip = numbered_by_size(length)
    draw = random.Random(length)
    frames = {draw.randrange(timeline.length) for _ in range(12)} | {0, 1, timeline.length - 2, timeline.length - 1}
    for offset in (-4, 0, 1):
        node = Selection(timeline).aligned(clip, offset)
        assert node.num_frames == timeline.length
        for n in draw.sample(sorted(frames), len(frames)):
            assert shown(node, n) == wanted(timeline, n, offset)


def test_all_frames_around_a_change_of_drift() -> None:
    timeline = Timeline(Fraction(1251249, 500000), 3000, None)
    node = Selection(timeline).aligned(numbered_by_size(3000), 0)
    drawn = []
    for n, frame in enumerate(node.frames(close=True)):
        drawn.append(int(frame.props["n"]) == wanted(timeline, n, 0))
    assert len(drawn) == timeline.length
    assert all(drawn)


@pytest.mark.parametrize(
    "arguments",
    [
        {"multi": Fraction(3999999, 4000)},
        {"multi": Fraction(2**31 - 1, 2**31 - 3)},
        {"fps": Fraction(2**31 - 1, 2**25 + 1)},
    ],
)
def test_a_fine_ratio_costs_no_more_than_a_simple_one(fake_family: Recorder, arguments: dict[str, object]) -> None:
    clip = vs.core.std.BlankClip(format=vs.RGBS, width=32, height=16, length=30_000, fpsnum=24, keep=True)

    def build(**chosen: object) -> float:
        started = time.process_time()
        output = vsvfi.interpolate(clip, model="fake", weights=fake_family.weights, **chosen)
        for n in (0, 1, output.num_frames // 2, output.num_frames - 1):
            output.get_frame(n).close()
        return time.process_time() - started

    build(multi=2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert build(**arguments, duplicates="retime") < 20 * build(multi=2, duplicates="retime") + 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize(
    "factor",
    [Fraction(2), Fraction(5, 2), Fraction(1001, 400), Fraction(1000), Fraction(3), Fraction(3999999, 4000)],
    ids=str,
)
def test_the_last_frame_of_the_longest_clip(fake_family: Recorder, factor: Fraction) -> None:
    clip = numbered_by_size(LARGEST_LENGTH).resize.Point(format=vs.RGBS, width=16, height=16)
    output = vsvfi.interpolate(
        clip, multi=factor, model="fake", weights=fake_family.weights, scene="off", duplicates="off"
    )
    assert output.num_frames == LARGEST_LENGTH
    for n in (LARGEST_LENGTH - 1, LARGEST_LENGTH - 2, LARGEST_LENGTH - 3):
        assert shown(output, n) in (floor := n * factor.denominator // factor.numerator, floor + 1)


def clip_at(rate: Fraction) -> vs.VideoNode:
    return vs.core.std.BlankClip(
        format=vs.RGBS, width=32, height=16, length=40, fpsnum=rate.numerator, fpsden=rate.denominator, keep=True
    )


@pytest.mark.parametrize("rate", ["10000000/417083", "2997/125", "1000000/41708"])
def test_a_standard_rate_in_another_form_counts_as_it(fake_family: Recorder, rate: str) -> None:
    output = vsvfi.interpolate(clip_at(Fraction(rate)), fps=60, model="fake", weights=fake_family.weights)
    assert (output.fps, output.num_frames) == (60, -(-40 * 1001 // 400))
    with output.get_frame(1) as frame:
        assert Fraction(frame.props["_DurationNum"], frame.props["_DurationDen"]) == Fraction(1, 60)


@pytest.mark.parametrize("rate", [Fraction(2**63 - 1, 2**58 + 1), Fraction(2**61 - 1, 2**57 + 7)])
@pytest.mark.parametrize(
    "arguments", [{"fps": Fraction(2**31 - 1, 2**26 + 1)}, {"multi": Fraction(2**31 - 1, 2**31 - 3)}]
)
def test_following_the_remedy_for_a_refused_ratio_works(
    fake_family: Recorder, rate: Fraction, arguments: dict[str, Fraction]
) -> None:
    clip = clip_at(rate)
    with pytest.raises(vs.Error, match=r"interpolate: (fps|multi)=.*AssumeFPS") as caught:
        vsvfi.interpolate(clip, model="fake", weights=fake_family.weights, **arguments)
    numbers = str(caught.value).rpartition("AssumeFPS(")[2].partition(")")[0].split(", ")
    clip = clip.std.AssumeFPS(**{name: int(number) for name, _, number in (part.partition("=") for part in numbers)})
    output = vsvfi.interpolate(clip, model="fake", weights=fake_family.weights, **arguments)
    output.get_frame(output.num_frames - 1).close()
    assert output.fps == arguments.get("fps", clip.fps * arguments.get("multi", 1))
