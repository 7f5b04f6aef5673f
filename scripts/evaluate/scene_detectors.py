"""Other detectors of scene changes, with their own defaults, to compare with; those that are installed.

    pip install scenedetect-headless vapoursynth-scenechange vapoursynth-scxvid vapoursynth-mvtools

PySceneDetect merges scenes of less than 15 frames by default; the clips have shorter ones, so that is switched off.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import vapoursynth as vs

from vsvfi.packages import find_package

type Detector = Callable[[vs.VideoNode], set[int]]
"""Clip in YUV420P8 -> the first frames of its scenes."""


def installed() -> dict[str, Detector]:
    """The detectors on this machine by name."""
    found: dict[str, Detector] = {}
    if find_package("scenedetect") is not None:
        found |= {
            "PySceneDetect, content": lambda clip: _scenedetect(clip, "ContentDetector"),
            "PySceneDetect, adaptive": lambda clip: _scenedetect(clip, "AdaptiveDetector"),
        }
    if hasattr(vs.core, "scd"):
        found["scd.Detect"] = lambda clip: _marked(vs.core.scd.Detect(clip))
    if hasattr(vs.core, "scxvid"):
        found["scxvid"] = lambda clip: _marked(vs.core.scxvid.Scxvid(clip))
    if hasattr(vs.core, "mv"):
        found["mv.SCDetection"] = lambda clip: _marked(vs.core.mv.SCDetection(clip, _vectors(clip)))
    return found


def _vectors(clip: vs.VideoNode) -> vs.VideoNode:
    return vs.core.mv.Analyse(vs.core.mv.Super(clip), isb=False)


def _marked(clip: vs.VideoNode) -> set[int]:
    """Frames that a filter marks as the first of a scene; frame 0 is none."""
    return {n for n, frame in enumerate(clip.frames(close=True)) if n and frame.props.get("_SceneChangePrev") == 1}


def _scenedetect(clip: vs.VideoNode, name: str) -> set[int]:
    package = importlib.import_module("scenedetect")
    detector = getattr(importlib.import_module("scenedetect.detectors"), name)(min_scene_len=1)
    rgb = clip.resize.Bicubic(format=vs.RGB24, matrix_in=vs.MATRIX_BT709)
    cuts = []
    for n, frame in enumerate(rgb.frames(close=True)):
        image = np.ascontiguousarray(np.stack([np.asarray(frame[plane]) for plane in (2, 1, 0)], -1))
        cuts += detector.process_frame(package.FrameTimecode(n, 24.0), image)
    cuts += detector.post_process(package.FrameTimecode(clip.num_frames - 1, 24.0))
    return {cut.frame_num for cut in cuts} - {0}
