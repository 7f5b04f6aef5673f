"""Render synthetic video with exact frames at any time and exact flow.

Used by the demo, tests, training and evaluation.

`scene` animates layers of textures and shapes, `demo` joins scenes to a clip, `cuts` makes clips for scene change
detectors, `captions` scrolls text, and `leaves` draws the components of the training samples of `scripts.train`.
numpy only.
"""

from __future__ import annotations

from vsvfi.synthetic.cuts import CutClip, evaluation_clips
from vsvfi.synthetic.demo import Clip, demo_clip
from vsvfi.synthetic.scene import KINDS, Scene, scene

__all__ = ["KINDS", "Clip", "CutClip", "Scene", "demo_clip", "evaluation_clips", "scene"]
