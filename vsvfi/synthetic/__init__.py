"""Procedural moving scenes with exact frames at ANY time and exact flow: food for the demo clip, tests, benchmarks and
training. numpy only.
"""

from __future__ import annotations

from vsvfi.synthetic.demo import Clip, demo_clip
from vsvfi.synthetic.evaluation import EvaluationClip, evaluation_clips
from vsvfi.synthetic.scene import KINDS, Scene, scene

__all__ = ["KINDS", "Clip", "EvaluationClip", "Scene", "demo_clip", "evaluation_clips", "scene"]
