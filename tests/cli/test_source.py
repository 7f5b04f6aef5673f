"""The stretch, the times and the user's own steps of a source."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import vapoursynth as vs

from vsvfi import options
from vsvfi.cli import main
from vsvfi.cli.source import Source, parse_trim
from vsvfi.cli.steps import Steps
from vsvfi.errors import ArgumentError
from vsvfi.media.encoding import Part
from vsvfi.media.probe import Media
from vsvfi.media.slow_motion import slow_motion


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("00:01:00-00:02:30", (60, 150)),
        ("90.5-", (Fraction(181, 2), None)),
        ("-1:30", (0, 90)),
        ("1:00:00-1:00:01.25", (3600, Fraction(14405, 4))),
    ],
)
def test_a_stretch(text: str, wanted: tuple[object, object]) -> None:
    assert parse_trim(text) == wanted


@pytest.mark.parametrize("text", ["90", "2-1", "1-1", "a-b", "1:2:3:4-", "--"])
def test_no_stretch(text: str) -> None:
    with pytest.raises(ArgumentError, match="BEGIN-END"):
        parse_trim(text)


def test_a_stretch_selects_the_output_frames_inside_it() -> None:
    media = Media(Path("a.mkv"), 250, Fraction(0), Fraction(25), True)
    source = Source(Path("a.mkv"), (Fraction(1), Fraction(2)))
    assert source.part(Part(), media, options.parse(multi=2)) == Part(50, 99)
    assert source.part(Part(), media, options.parse(fps=60)) == Part(60, 119)
    assert Source(Path("a.mkv")).part(Part(3, 4), media, options.parse()) == Part(3, 4)
    assert Source(Path("a.mkv"), (Fraction(1, 3), None)).part(Part(), media, options.parse()) == Part(17, None)
    with pytest.raises(ArgumentError, match=r"ends after 10.000 s"):
        Source(Path("a.mkv"), (Fraction(10), None)).part(Part(), media, options.parse())


def test_slow_motion_keeps_the_rate_and_multiplies_a_given_factor() -> None:
    source = Source(Path("a.mkv"), slow=Fraction(5, 2))
    for given, multi in (({}, "5/2"), ({"multi": 2}, "5"), ({"multi": "3/2"}, "15/4")):
        assert source.slowed(given) == {"multi": multi}
    assert source.slowed({"fps": 60}) == {"fps": 60}
    assert Source(Path("a.mkv")).slowed({}) == {}
    media = slow_motion(Media(Path("a.mkv"), 250, Fraction(3), Fraction(25), True), Fraction(4), "atempo")
    source = Source(Path("a.mkv"), (Fraction(1), Fraction(2)), slow=Fraction(4))
    assert source.part(Part(), media, options.parse(multi=4)) == Part(100, 199)
    with pytest.raises(ArgumentError, match=r"10 s.*ends after 10.000 s"):
        Source(Path("a.mkv"), (Fraction(10), None), slow=Fraction(4)).part(Part(), media, options.parse(multi=4))


def test_times_of_a_file_replace_those_of_the_container(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    media = Media(Path("a.mkv"), 8, Fraction(7), Fraction(25), True)
    path.write_text("# timecode format v2\n0\n40\n400\n440\n480\n520\n560\n600\n")
    timed = Source(Path("a.mkv"), timecodes=path).timed(media)
    assert not timed.constant
    assert timed.times[:3] == (7, Fraction(704, 100), Fraction(74, 10))
    path.write_text("# timecode format v2\n" + "\n".join(str(20 * n) for n in range(8)))
    timed = Source(Path("a.mkv"), timecodes=path).timed(media)
    assert (timed.constant, timed.rate, timed.times) == (True, 50, ())


def steps(tmp_path: Path, text: str) -> Steps:
    path = tmp_path / "steps.vpy"
    path.write_text(text)
    return Steps(str(path))


def test_steps_before_and_after(tmp_path: Path) -> None:
    clip = vs.core.std.BlankClip(width=64, height=48, length=20, fpsnum=25, fpsden=1)
    halved = "def before(clip):\n    return clip.std.SelectEvery(2, 0)\n"
    both = steps(tmp_path, halved + "def after(clip):\n    return clip.std.CropAbs(32, 16)\n")
    assert both.before(clip, fixed=False).num_frames == 10
    assert (both.after(clip).width, both.after(clip).num_frames) == (32, 20)
    assert Steps(None).after(Steps(None).before(clip, fixed=True)) is clip
    with pytest.raises(vs.Error, match="number of frames from 20 to 10"):
        both.before(clip, fixed=True)
    with pytest.raises(vs.Error, match="changes the duration"):
        steps(tmp_path, "def before(clip):\n    return clip[:10]\n").before(clip, fixed=False)
    with pytest.raises(vs.Error, match="makes 10 frames at 25/2 fps"):
        steps(tmp_path, halved.replace("before", "after")).after(clip)
    with pytest.raises(vs.Error, match="returns NoneType"):
        steps(tmp_path, "def after(clip):\n    pass\n").after(clip)
    with pytest.raises(vs.Error, match="rate varies"):
        steps(tmp_path, "def after(clip):\n    return clip + clip.std.AssumeFPS(fpsnum=30, fpsden=1)\n").after(clip)
    with pytest.raises(vs.Error, match="defines neither"):
        steps(tmp_path, "x = 1\n")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--trim", "1-2", "-s", "3"], "contradicts --start"),
        (["--filter", "nothing.vpy"], "is not a file"),
        (["--slow", "1"], "must be a number above 1"),
        (["--slow-audio", "drop"], "give --slow N too"),
        (["--rate", "24"], "is for images, not for a video"),
        (["--timecodes", "nothing.txt"], "is not a file"),
    ],
)
def test_options_that_cannot_work(capsys: pytest.CaptureFixture[str], extra: list[str], message: str) -> None:
    assert main(["render", "in.mkv", "-o", "out.mkv", *extra]) in (1, 2)
    assert message in capsys.readouterr().err
