"""How near a prediction is to the true frame."""

from __future__ import annotations

from math import log10

import numpy as np

from vsvfi.compare.session import Scores
from vsvfi.compare.source import Picture

HIGHEST = 100.0
"""PSNR of equal pictures."""


def scores() -> Scores:
    """The scores that can be computed here."""
    return {"psnr": _psnr}


def _psnr(prediction: Picture, truth: Picture) -> float:
    error = float(np.mean((prediction.astype(np.float64) - truth) ** 2))
    return HIGHEST if error <= 10 ** (-HIGHEST / 10) else -10 * log10(error)
