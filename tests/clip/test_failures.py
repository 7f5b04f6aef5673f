"""Missing source frames, and exceptions of every type: which output frames fail, and with which message."""

from __future__ import annotations

import time

import pytest
import vapoursynth as vs

from tests.clip.clips import interpolated
from tests.fakes import Recorder, numbered
from vsvfi.clip import cut_score, finish
from vsvfi.clip.failures import essential, frame_error
from vsvfi.errors import FrameError

BROKEN = 6


def broken(clip: vs.VideoNode, *frames: int, cause: Exception | None = None) -> vs.VideoNode:
    """A clip some of whose frames fail, as with a damaged file."""

    def decode(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        if n in frames:
            raise cause or RuntimeError(f"cannot decode packet {n}")
        return f

    return clip.std.ModifyFrame(clip, decode)


def failures(clip: vs.VideoNode) -> dict[int, str]:
    """Return the messages of failing frames, with synchronous requests."""
    found = {}
    for n in range(clip.num_frames):
        try:
            clip.get_frame(n).close()
        except vs.Error as error:
            found[n] = essential(error)
    return found


@pytest.mark.minimum
@pytest.mark.parametrize(
    "arguments", [{}, {"scene": "props"}, {"scene": "off", "duplicates": "off"}, {"duplicates": "retime"}]
)
def test_a_broken_frame_fails_the_frames_that_need_it(fake_family: Recorder, arguments: dict[str, object]) -> None:
    result = interpolated(fake_family, broken(numbered(length=14), BROKEN), **arguments)
    found = failures(result)
    assert sorted(found) == [2 * BROKEN - 1, 2 * BROKEN, 2 * BROKEN + 1]
    for n, text in found.items():
        assert (
            text == f"interpolate: frame {n}: source frame {BROKEN} cannot be read; RuntimeError: cannot decode packet "
            f"{BROKEN} (help: vsvfi explain frames)"
        )


@pytest.mark.parametrize("position", [0, 13])
def test_a_broken_end_fails_its_own_frames(fake_family: Recorder, position: int) -> None:
    result = interpolated(fake_family, broken(numbered(length=14), position), multi=3)
    assert sorted(failures(result)) == ([0, 1, 2] if position == 0 else [37, 38, 39, 40, 41])


def test_other_frames_are_those_of_a_whole_clip(fake_family: Recorder) -> None:
    whole, damaged = (
        interpolated(fake_family, clip) for clip in (numbered(length=14), broken(numbered(length=14), BROKEN))
    )
    for n in (*range(11), *range(14, 28)):
        with whole.get_frame(n) as expected, damaged.get_frame(n) as found:
            assert bytes(found[0]) == bytes(expected[0])
            assert dict(found.props) == dict(expected.props)


def test_each_broken_frame_is_logged_once(fake_family: Recorder) -> None:
    lines: list[str] = []
    handle = vs.core.add_log_handler(lambda level, text: lines.append(text))
    clip = interpolated(fake_family, broken(numbered(length=14), 6, 9))
    try:
        failures(clip)
        vs.core.clear_cache()  # or the frame is not requested again
        failures(clip)
    finally:
        vs.core.remove_log_handler(handle)
    warnings = sorted(line for line in lines if "cannot be read" in line)
    assert [line.split(",")[0] for line in warnings] == [
        f"interpolate: source frame {k} cannot be read" for k in (6, 9)
    ]


@pytest.mark.parametrize(
    "cause", [MemoryError(), KeyError("key"), ValueError("x" * 20_000), RuntimeError("first\nsecond")]
)
def test_causes_of_any_type_and_length_survive(fake_family: Recorder, cause: Exception) -> None:
    text = failures(interpolated(fake_family, broken(numbered(length=14), BROKEN, cause=cause)))[2 * BROKEN]
    assert text.startswith(f"interpolate: frame {2 * BROKEN}: source frame {BROKEN} cannot be read; ")
    assert {MemoryError: "MemoryError", KeyError: "'key'", ValueError: "xxx", RuntimeError: "first"}[
        type(cause)
    ] in text


@pytest.mark.parametrize("cause", [MemoryError(), KeyError("key"), ValueError("x" * 20_000), AssertionError()])
def test_exceptions_of_our_own_callbacks_name_the_frame(
    fake_family: Recorder, cause: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise cause

    result = interpolated(fake_family, numbered(length=4))
    fake_family.hook = fail
    assert failures(result)[3].startswith("interpolate: frame 3: ")
    fake_family.hook = None

    def refuse(*_: object) -> None:
        raise cause

    monkeypatch.setattr(finish, "check_progressive", refuse)
    found = failures(interpolated(fake_family, numbered(length=4)))
    assert len(found) == 8
    assert all(text.startswith(f"interpolate: frame {n}: {type(cause).__name__}") for n, text in found.items())


def test_a_measure_that_fails_leaves_the_facts_unknown(fake_family: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def fail(_: object, step: int) -> float:
        asked.append(step)
        raise MemoryError

    result = interpolated(fake_family, numbered(length=4))
    monkeypatch.setattr(cut_score, "score", fail)
    assert failures(result) == {}
    assert set(asked) == {0, 1, 2}


@pytest.mark.minimum
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_guards_never_lock_up(fake_family: Recorder, threads: int) -> None:
    """Interpolated twice, so that guards wait for guards, with the least number of threads."""
    before = vs.core.num_threads
    vs.core.num_threads = threads
    try:
        once = interpolated(fake_family, broken(numbered(length=10), 5))
        twice = interpolated(fake_family, once)
        pending = {n: twice.get_frame_async(n) for n in range(40)}
        failed = [n for n, future in pending.items() if future.exception(timeout=120) is not None]
        assert failed == [n for n in range(40) if 17 <= n < 24]
    finally:
        vs.core.num_threads = before


def test_slow_sources_keep_their_concurrency() -> None:
    """Slow frames are computed concurrently: guards take turns."""
    from vsvfi.clip.readable import readable

    before = vs.core.num_threads
    vs.core.num_threads = 4
    try:
        blank = vs.core.std.BlankClip(length=16, width=16, height=16, keep=True)
        running, most = 0, 0

        def slow(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
            nonlocal running, most
            running += 1
            most = max(most, running)
            time.sleep(0.05)
            running -= 1
            return f

        workers = [blank.std.ModifyFrame(blank, slow) for _ in range(8)]
        clip = readable(blank.std.FrameEval(lambda n: workers[n % 8], clip_src=workers))
        for future in [clip.get_frame_async(n) for n in range(16)]:
            future.result(60).close()
        assert most >= 2
    finally:
        vs.core.num_threads = before


def test_the_essential_of_a_traceback_is_what_was_raised() -> None:
    text = (
        'Traceback (most recent call last):\n  File "x", line 1, in f\n    g()\n'
        "vapoursynth.Error: interpolate: frame 3: no\n"
    )
    assert essential(vs.Error(text)) == "interpolate: frame 3: no"
    assert essential(vs.Error(text[:60])) != ""
    assert str(frame_error(9, vs.Error(text))) == "interpolate: frame 3: no"
    assert str(frame_error(9, FrameError(9, "x" * 9_000))).startswith("interpolate: frame 9: xxx")
    assert len(str(frame_error(9, FrameError(9, "x" * 9_000)))) < 2_000

    assert len(essential(ValueError("x" * 20_000))) == 600

    class MuteError(Exception):
        def __str__(self) -> str:
            raise OSError

    assert essential(MuteError()) == "MuteError"
