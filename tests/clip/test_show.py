"""The preview that draws what was decided."""

from __future__ import annotations

import numpy as np
import pytest
import vapoursynth as vs

import vsvfi
from tests.fakes import Recorder, arrays, numbered, painted
from vsvfi.clip.show import COLOURS, block_motion, described
from vsvfi.plan.timeline import Copy, Interpolate


def shown(fake: Recorder, clip: vs.VideoNode, **arguments: object) -> vs.VideoNode:
    return vsvfi.show(clip, **{"model": "fake", "weights": fake.weights, "device": "cpu", **arguments})


def border(clip: vs.VideoNode, n: int) -> str:
    """The kind that the colour of the lower right corner stands for."""
    corner = tuple(int(plane[-1, -1]) for plane in arrays(clip.get_frame(n)))
    return next(kind for kind, colour in COLOURS.items() if colour == corner)


@pytest.mark.parametrize("name", ["YUV420P8", "RGBS", "GRAY16", "YUV444PH"])
def test_borders_say_how_a_frame_was_made(fake_family: Recorder, name: str) -> None:
    matrix = {} if name.startswith("RGB") else {"matrix_s": "709"}
    source = numbered(length=6, width=320, height=180).resize.Bicubic(format=getattr(vs, name), **matrix)
    source = source.std.FrameEval(
        lambda n, clip=source: clip.std.SetFrameProps(_SceneChangeNext=int(n == 3), _SceneChangePrev=int(n == 4))
    )
    result = shown(fake_family, source, exclude="[1 1]", scene_change="blend", duplicates="off")
    assert (result.num_frames, result.fps, result.format.id) == (12, 48, vs.RGB24)
    kinds = [border(result, n) for n in range(12)]
    assert kinds[:8] == ["source", "interpolated", "source", "held", "source", "interpolated", "source", "faded"]
    assert kinds[8:10] == ["source", "interpolated"]


def test_the_text_names_frames_timestep_and_scores() -> None:
    blank = vs.core.std.BlankClip(width=1, height=1, format=vs.GRAY8, length=1)
    facts = blank.std.SetFrameProps(_vsvfi_cut=1, _vsvfi_duplicate=1, _vsvfi_cut_score=0.75).get_frame(0)
    from fractions import Fraction

    text = described(7, Interpolate(3, 4, Fraction(1, 2)), facts)
    assert text == "output 7\ninterpolated 3 to 4, t = 1/2\ncut score 0.75, cut\nthe next frame is a duplicate"
    assert described(8, Copy(4), facts).splitlines()[1] == "source 4"


def test_the_text_is_drawn_and_the_mask_outlined(fake_family: Recorder) -> None:
    def halves(n: int, plane: int, array: np.ndarray) -> None:
        array[60:120, 200:280] = 255

    source = numbered(length=3, width=320, height=180)
    mask = painted(halves, format=vs.GRAY8, width=320, height=180, length=1)
    plain, masked = (arrays(shown(fake_family, source, **more).get_frame(1)) for more in ({}, {"mask": mask}))
    assert np.ptp(plain[0][10:40, 10:100]) > 100
    red = (masked[0] == 255) & (masked[1] == 0) & (masked[2] == 0)
    assert red[50:70, 230:250].any()
    assert not red[80:100, 230:250].any()  # the outline alone


def test_arrows_follow_what_moves() -> None:
    texture = np.random.default_rng(1).integers(0, 255, (48, 80)).astype(np.uint8)
    moved = np.roll(texture, (2, 5), (0, 1))
    motion = block_motion(texture, moved)
    assert (motion[1, 1:-1] == (2, 5)).all()
    assert not block_motion(texture, texture).any()


def test_arrows_reach_a_tenth_of_the_height() -> None:
    texture = np.random.default_rng(2).integers(0, 255, (40, 40)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
    motion = block_motion(texture, np.roll(texture, (13, -24), (0, 1)))
    assert (motion[:8, 2:] == (13, -24)).all()
