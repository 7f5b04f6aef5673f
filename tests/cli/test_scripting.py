"""The frames of a source filter as a player shows them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import vapoursynth as vs

from vsvfi.cli import scripting
from vsvfi.cli.scripting import open_video, show


def numbered(length: int) -> vs.VideoNode:
    clip = vs.core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=length, fpsnum=30)
    return clip.std.FrameEval(lambda n: clip.std.SetFrameProps(number=n))


def numbers(clip: vs.VideoNode) -> list[int]:
    return [int(frame.props["number"]) for frame in clip.frames()]


def test_hidden_frames_are_left_out_wherever_they_are() -> None:
    clip = show(numbered(8), "24000/1001", 8, [0, 1, 5])
    assert numbers(clip) == [2, 3, 4, 6, 7]
    assert (clip.fps.numerator, clip.fps.denominator) == (24000, 1001)


def test_a_source_filter_that_left_them_out_itself() -> None:
    assert numbers(show(numbered(5), "25", 8, [0, 1, 5])) == [0, 1, 2, 3, 4]


def test_frames_that_last_longer_are_repeated() -> None:
    clip = show(numbered(5), "25", 5, [1], held=(0, 2, 2))
    assert numbers(clip) == [0, 0, 2, 3, 3, 3, 4]
    with pytest.raises(vs.Error, match="so its frames cannot be placed"):
        show(numbered(7), "25", 5, [], held=(0,))


def test_a_file_that_the_source_filter_cannot_open_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """lsmas returns None instead of an error for raw MJPEG, for example."""
    core = SimpleNamespace(lsmas=SimpleNamespace(LWLibavSource=lambda *given, **named: None))
    monkeypatch.setattr(scripting.vs, "core", SimpleNamespace(core=core))
    with pytest.raises(vs.Error, match=r"lsmas cannot open 'a\.mjpeg'; encode the file again"):
        open_video("/films/a.mjpeg", "/tmp/index")
    core.bs = SimpleNamespace(VideoSource=lambda *given, **named: "opened")
    assert open_video("/films/a.mjpeg", "/tmp/index") == "opened"


@pytest.mark.parametrize("when", ["opened", "first frame"])
def test_a_file_that_the_source_filter_cannot_decode_is_named(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """lsmas needs timestamps for some streams."""

    def fail(*given: object, **named: object) -> vs.VideoNode:
        raise vs.Error("lsmas: failed to allocate the first valid video frame.")

    broken = vs.core.std.BlankClip(width=16, height=16, format=vs.GRAY8, length=2).std.FrameEval(fail)
    opened = fail if when == "opened" else lambda *given, **named: broken
    core = SimpleNamespace(lsmas=SimpleNamespace(LWLibavSource=opened))
    monkeypatch.setattr(scripting.vs, "core", SimpleNamespace(core=core))
    with pytest.raises(
        vs.Error, match=r"(?s)lsmas cannot decode 'a\.mkv' \(.*first valid video frame.*; encode the file again"
    ):
        open_video("/films/a.mkv", "/tmp/index")
    core.bs = SimpleNamespace(VideoSource=lambda *given, **named: "opened")
    assert open_video("/films/a.mkv", "/tmp/index") == "opened"
    core.bs = SimpleNamespace(VideoSource=fail)
    with pytest.raises(vs.Error, match=r"bestsource cannot decode 'a\.mkv' \(.*; encode the file again"):
        open_video("/films/a.mkv", "/tmp/index")


def test_bestsource_reads_what_lsmas_gives_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    opened = numbered(2)
    core = SimpleNamespace(
        lsmas=SimpleNamespace(LWLibavSource=lambda *given, **named: opened),
        log_message=lambda level, text: lines.append(text),
    )
    monkeypatch.setattr(scripting.vs, "core", SimpleNamespace(core=core))
    with pytest.raises(vs.Error, match=r"'a\.mkv' have no timestamp, .* pip install vapoursynth-bestsource"):
        open_video("/films/a.mkv", "/tmp/index", bestsource="needed")
    assert open_video("/films/a.mpg", "/tmp/index", bestsource="better").num_frames == 2
    assert "may give other frames of 'a.mpg' where a part or chunk begins; pip install" in lines[0]
    core.bs = SimpleNamespace(VideoSource=lambda *given, **named: "opened")
    assert open_video("/films/a.mkv", "/tmp/index", bestsource="needed") == "opened"
    assert open_video("/films/a.mpg", "/tmp/index", bestsource="better") == "opened"
    assert isinstance(open_video("/films/a.mp4", "/tmp/index"), vs.VideoNode)


def test_two_packets_of_fields_make_a_frame() -> None:
    clip = show(numbered(10), "50", 20, [])
    assert (clip.num_frames, clip.fps) == (10, 25)


def test_frames_that_cannot_be_placed_are_refused() -> None:
    with pytest.raises(
        vs.Error, match=r"the source filter gives 7 frames, the file has 5, so its frames cannot be placed; remux it"
    ):
        show(numbered(7), "25", 5, [], timed=True)


def test_another_number_of_frames_is_logged() -> None:
    said: list[str] = []
    handle = vs.core.add_log_handler(lambda level, message: said.append(message))
    try:
        assert show(numbered(7), "25", 8, []).num_frames == 7
    finally:
        vs.core.remove_log_handler(handle)
    assert any("gives 7 frames, the file has 8; audio may be out of sync" in line for line in said)


@pytest.mark.parametrize(("turn", "location"), [("t", vs.CHROMA_TOP), ("tv", vs.CHROMA_BOTTOM), ("v", vs.CHROMA_LEFT)])
def test_a_turned_frame_has_the_aspect_and_the_chroma_of_its_new_axes(turn: str, location: int) -> None:
    clip = vs.core.std.BlankClip(width=16, height=8, format=vs.YUV420P8, length=2, fpsnum=25)
    clip = clip.std.SetFrameProps(_SARNum=4, _SARDen=3, _ChromaLocation=vs.CHROMA_LEFT)
    frame = show(clip, "25", 2, [], turn).get_frame(1)
    turned = "t" in turn
    assert (frame.width, frame.height) == ((8, 16) if turned else (16, 8))
    assert (frame.props["_SARNum"], frame.props["_SARDen"]) == ((3, 4) if turned else (4, 3))
    assert frame.props["_ChromaLocation"] == location
    # 4:2:2 turned would be 4:4:0, which few encoders take
    assert show(clip.resize.Bicubic(format=vs.YUV422P8), "25", 2, [], "t").format.id == vs.YUV444P8
