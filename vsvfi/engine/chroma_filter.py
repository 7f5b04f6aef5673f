"""Compute the filters that resample chroma planes, equal to zimg's bicubic ones.

The kernel is Keys' cubic (b = 0, c = 1/2), widened when reducing so that it does not alias, with normalised
coefficients. Samples beyond an edge mirror those inside, edge included. As planes are reduced by powers of two only,
each of the few positions of an output sample relative to the input grid has one set of coefficients (phase).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor
from typing import Literal

type Site = Literal["first", "centre", "last"]
"""Where a chroma sample lies among the luma samples that it covers, along one axis."""


@dataclass(frozen=True, slots=True)
class AxisFilter:
    """A filter along one axis: output `i * phases + p` is the sum over k of coefficients[p][k] * input[i * step + k].

    Attributes:
        source: indices of the input samples, extended by mirrored ones at both ends, that `input` stands for.
        coefficients: per phase, in equal numbers.
        step: input samples per group of phases.
    """

    source: list[int]
    coefficients: list[list[float]]
    step: int

    @property
    def phases(self) -> int:
        """Output samples per step."""
        return len(self.coefficients)

    @property
    def taps(self) -> int:
        """Input samples per output sample, zeros included."""
        return len(self.coefficients[0])


def upsampling(length: int, log2: int, site: Site) -> AxisFilter:
    """Return the filter from `length` chroma samples to `length << log2` luma positions."""
    factor = 1 << log2
    shift = 0.5 - _offset(factor, site) / factor
    return _filter(length, [(phase + 0.5) / factor + shift for phase in range(factor)], 1, length)


def downsampling(length: int, log2: int, site: Site) -> AxisFilter:
    """Return the filter from `length` luma samples to `length >> log2` chroma positions."""
    factor = 1 << log2
    return _filter(length, [_offset(factor, site)], factor, length >> log2)


def _offset(factor: int, site: Site) -> float:
    """Position of a chroma sample in luma samples, from the start of the group that it covers."""
    return {"first": 0.5, "centre": factor / 2, "last": factor - 0.5}[site]


def _filter(length: int, positions: list[float], step: int, groups: int) -> AxisFilter:
    """Return the filter whose outputs lie at `positions` of the input axis, and every `step` samples after them."""
    if step == 1 and positions == [0.5]:  # not resampled
        return AxisFilter(list(range(length)), [[1.0]], 1)
    taps = 2 * ceil(2.0 * step)
    starts = [floor(position - taps / 2 + 0.5) for position in positions]
    low, high = min(starts), max(starts) + taps
    coefficients = []
    for position, start in zip(positions, starts, strict=True):
        weights = [_cubic((start + k + 0.5 - position) / step) for k in range(taps)]
        total = sum(weights)
        row = [0.0] * (high - low)
        row[start - low : start - low + taps] = [weight / total for weight in weights]
        coefficients.append(row)
    used = [k for k in range(high - low) if any(row[k] for row in coefficients)]
    first, last = used[0], used[-1] + 1
    extended = range(low + first, low + last + (groups - 1) * step)
    return AxisFilter([_mirrored(index, length) for index in extended], [row[first:last] for row in coefficients], step)


def _cubic(x: float) -> float:
    """Keys' cubic convolution kernel."""
    x = abs(x)
    if x < 1:
        return 1 + x * x * (1.5 * x - 2.5)
    return 2 + x * (-4 + x * (2.5 - 0.5 * x)) if x < 2 else 0.0


def _mirrored(index: int, length: int) -> int:
    """The sample inside the plane that stands for one outside."""
    mirrored = -index - 1 if index < 0 else 2 * length - 1 - index if index >= length else index
    return min(max(mirrored, 0), length - 1)
