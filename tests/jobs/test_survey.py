"""The survey of a clip: chunks begin where scenes do."""

from __future__ import annotations

import vapoursynth as vs

from tests.fakes import Recorder
from vsvfi.cli.piping import fit
from vsvfi.cli.survey import survey
from vsvfi.clip.graph import interpolate_with_config


def test_chunks_begin_at_scene_changes(fake_family: Recorder) -> None:
    blank = vs.core.std.BlankClip(width=64, height=48, format=vs.YUV420P8, length=60, fpsnum=10, fpsden=1)
    shots = blank[:23].std.SetFrameProps(_SceneChangePrev=0) + blank[23:]

    def mark(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        out.props["_SceneChangeNext"] = int(n in (6, 22, 58))
        return out

    source = shots.std.ModifyFrame(shots, mark)
    interpolated = interpolate_with_config(source, model="fake", multi=2, weights=fake_family.weights, device="cpu")
    output = fit(interpolated.clip, [])
    wish = {"first": 0, "last": None, "seconds": 2.0, "scene": "auto", "threshold": None}
    found = survey(source, interpolated, output, wish)
    assert found["speed"] > 0
    assert (found["starts"], found["last"]) == ([0, 46, 80], 119)  # chunks of 40: 46 is source frame 23
    part = survey(source, interpolated, output, {**wish, "first": 6, "last": 80})
    assert (part["starts"], part["last"]) == ([6, 46], 80)
    assert survey(source, interpolated, output, {**wish, "first": 120}) == {"starts": [], "last": 119, "speed": 0.0}
