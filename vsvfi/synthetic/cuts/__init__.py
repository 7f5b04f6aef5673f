"""Synthetic clips to evaluate scene change detectors: cuts of many kinds, and effects that resemble them.

The first frame of each scene is known exactly. numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vsvfi.synthetic.cuts.action import ACTION
from vsvfi.synthetic.cuts.clip import CutClip
from vsvfi.synthetic.cuts.layered import evaluation_clips
from vsvfi.synthetic.cuts.lookalikes import LOOKALIKES
from vsvfi.synthetic.cuts.real import CUTS

__all__ = ["KINDS", "CutClip", "cases", "evaluation_clips"]

KINDS = {**CUTS, **LOOKALIKES, **ACTION}
"""Every kind of `cases` by its name; those with cuts begin with "cut". New ones go to the end: places set the seeds."""


def cases(seed: int, kinds: tuple[str, ...] | None = None) -> Iterator[CutClip]:
    """Every kind once (or those named), different for each seed."""
    for position, (kind, make) in enumerate(KINDS.items()):
        if kinds is None or kind in kinds:
            yield make(kind, np.random.default_rng((seed, position)), seed * 1000 + position)
