"""Procedural pictures for the demo clip, tests, training and evaluation: exact frames at any time, exact flow.

`scene` moves layers of textures and shapes, `demo` joins scenes to a film, `cuts` makes clips for detectors of scene
changes, `captions` scrolls text, and `leaves` draws what the training samples of `scripts.train` are composed of.
numpy only.
"""

from __future__ import annotations

from vsvfi.synthetic.cuts import CutClip, evaluation_clips
from vsvfi.synthetic.demo import Clip, demo_clip
from vsvfi.synthetic.scene import KINDS, Scene, scene

__all__ = ["KINDS", "Clip", "CutClip", "Scene", "demo_clip", "evaluation_clips", "scene"]
