"""Frame properties of any type: read like VapourSynth's filters read them, and no frame fails because of one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, numbered
from vsvfi.clip.props import LARGEST_INTEGER, read_duration, read_integer, read_numbers, storable
from vsvfi.media.hdr import x265_hdr

READ = (
    "_Matrix", "_Range", "_ChromaLocation", "_FieldBased", "_Transfer", "_Primaries", "_DurationNum", "_DurationDen",
    "_SceneChangeNext",
    "_SceneChangePrev", "_SARNum", "_SARDen", "_AbsoluteTime", "_Alpha", "_vsvfi_shown", "_vsvfi_cut",
    "PlaneStatsAverage",
)  # fmt: skip


def strange_values() -> list[object]:
    frame = vs.core.std.BlankClip(width=2, height=2, length=1).get_frame(0)
    return [
        "x",
        b"\xff",
        1.5,
        float("nan"),
        -(2**63),
        2**63 - 1,
        [0, 2],
        ["a", "b"],
        [0.5, 0.25],
        frame,
        [frame, frame],
    ]


def test_integers_are_read_as_filters_read_them() -> None:
    props = {"one": 1, "several": [2, 3], "empty": [], "data": "4", "bytes": b"5", "float": 6.0}
    assert {name: read_integer(props, name) for name in [*props, "none"]} == {
        "one": 1, "several": 2, "empty": None, "data": None, "bytes": None, "float": None, "none": None,
    }  # fmt: skip
    assert read_integer(props, "data", 7) == 7


def test_numbers_are_all_there_or_none() -> None:
    assert read_numbers({"a": [1, 0.5]}, "a") == [1, 0.5]
    assert read_numbers({"a": 2}, "a") == [2]
    for value in ([1, "x"], "x", float("inf"), [0.5, float("nan")], None):
        assert read_numbers({"a": value}, "a") == []


def test_durations_need_two_integers() -> None:
    assert read_duration({"_DurationNum": 1001, "_DurationDen": 24000}) == Fraction(1001, 24000)
    assert read_duration({"_DurationNum": -1, "_DurationDen": 2}) == Fraction(-1, 2)
    for broken in (
        {},
        {"_DurationNum": 1},
        {"_DurationNum": "1", "_DurationDen": 0},
        {"_DurationNum": 1, "_DurationDen": "2"},
    ):
        assert read_duration(broken) is None


@pytest.mark.parametrize(
    "exact",
    [Fraction(1, 3), Fraction(10**40, 10**40 - 1), Fraction(10**40 - 1, 10**40), Fraction(1, 10**40), Fraction(10**40)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_durations_beyond_what_a_property_holds_are_rounded(exact: Fraction, sign: int) -> None:
    found = storable(sign * exact)
    assert max(abs(found.numerator), found.denominator) <= LARGEST_INTEGER
    if exact < LARGEST_INTEGER:
        assert abs(found - sign * exact) <= Fraction(1, LARGEST_INTEGER)


@pytest.mark.parametrize("index", range(11))
def test_no_property_of_a_wrong_type_fails_a_frame(fake_family: Recorder, index: int) -> None:
    value = strange_values()[index]
    clip = numbered(4).resize.Bicubic(format=vs.YUV420P8, matrix=1)
    for names in (READ[:6], READ[6:]):
        for variable in (False, True):
            source = clip.std.SetFrameProps(_DurationNum=1, _DurationDen=24)
            source = source.std.ModifyFrame(source, lambda n, f, names=names: _with(f, names, value))
            if variable:
                source = source + source.std.AssumeFPS(fpsnum=25)
            output = vsvfi.interpolate(source, model="fake", weights=fake_family.weights, scene="props")
            for n in range(3):
                output.get_frame(n).close()


def test_a_scene_mark_of_another_type_is_none(fake_family: Recorder) -> None:
    clip = numbered(4).std.SetFrameProps(_SceneChangeNext="1")
    vsvfi.interpolate(clip, model="fake", weights=fake_family.weights, scene="props", duplicates="off").get_frame(1)
    assert fake_family.counts()["synthesise"] == 1


@pytest.mark.parametrize("value", ["x", [1], [1, "x", 3], float("nan"), [0.1, 0.2, float("inf")], None])
def test_hdr_metadata_of_a_wrong_type_is_left_out(value: object) -> None:
    good: dict[str, object] = {f"MasteringDisplayPrimaries{axis}": [0.1, 0.2, 0.3] for axis in "XY"}
    good |= {f"MasteringDisplayWhitePoint{axis}": 0.3 for axis in "XY"}
    good |= {"MasteringDisplayMinLuminance": 0.001, "MasteringDisplayMaxLuminance": 1000}
    assert any("master-display" in part for part in x265_hdr(good))
    assert x265_hdr({**good, "MasteringDisplayPrimariesX": value, "ContentLightLevelMax": "x"}) == []


def _with(frame: vs.VideoFrame, names: Sequence[str], value: object) -> vs.VideoFrame:
    out = frame.copy()
    for name in names:
        out.props[name] = value
    return out
