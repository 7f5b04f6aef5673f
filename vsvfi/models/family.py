"""Facts about a model family, without torch: what a `spec.py` is made of. Says nothing about how anything is computed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from vsvfi.weights.source import Source


class Timesteps(enum.Enum):
    """Which times the published weights of a variant know."""

    ANY = "any"  # every t in (0, 1)
    HALF = "half"  # t = 1/2 alone; other times are reached by halving (plan.midpoints)


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Which sizes a network accepts, and how a frame is brought to one.

    The padded size is the next multiple of D, the smallest positive integer with D * scale a multiple of `multiple`.
    Padding replicates the border; it is split evenly between both sides, the odd pixel going to right and bottom (`centred`), or goes to right and bottom alone.
    """

    multiple: int
    centred: bool = True
    minimum: int = 1

    def divisor(self, scale: Fraction) -> int:
        """D: 16 for multiple 16 at scale 1, 32 at 1/2, 20 at 4/5, 8 at 2."""
        return (self.multiple / scale).numerator

    def padding(self, width: int, height: int, scale: Fraction) -> tuple[int, int, int, int]:
        """Pixels to add at (left, right, top, bottom)."""
        divisor = self.divisor(scale)
        smallest = -(-self.minimum // divisor) * divisor
        across, down = (max(smallest, -(-size // divisor) * divisor) - size for size in (width, height))
        if not self.centred:
            return 0, across, 0, down
        return across // 2, across - across // 2, down // 2, down - down // 2


type OptionCheck = Callable[[object], object]
"""Parses one entry of `options=`; returns the value to use, or raises ValueError with the rule it breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One model a user can name.

    Attributes:
        name: what the user writes.
        config: keyword arguments of the family's network class.
        sources: where its weights are published, best first.
        licence: licence of the weights.
        timesteps: which times these weights know.
        parameters: number of weights.
        half: whether fp16 holds the stated tolerance on CUDA.
        note: one line for the table of models.
        licence_notice: shown once before the first download, where the licence asks for more than a mention.
    """

    name: str
    config: Mapping[str, object]
    sources: tuple[Source, ...]
    licence: str
    timesteps: Timesteps = Timesteps.ANY
    parameters: int = 0
    half: bool = True
    note: str = ""
    licence_notice: str = ""


def common_scale(width: int, height: int) -> Fraction:
    """The rule of families that publish none: 1 up to a long side of 2048 pixels, 1/2 up to 4096 (4K), 1/4 above."""
    longer = max(width, height)
    return Fraction(1) if longer <= 2048 else Fraction(1, 2) if longer <= 4096 else Fraction(1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One architecture: what its variants share.

    Attributes:
        name: the folder under `models/`.
        title: how people call it.
        paper: citation with link.
        network: "module:Class" of the `Interpolator`, imported only when one is built. The class is called with
            `**variant.config, scale=Fraction, **options`; extra facts of the clip are not passed.
        size_rule: which sizes it accepts.
        variants: its models.
        scales: the values of `scale` it takes, or None for any positive one.
        default_scale: (width, height) -> scale, for `scale=None`.
        options: what `options=` may hold: name -> check. `option_defaults` fills the rest.
        code_licence: licence of the published program (ours is MIT and independent of it).
        ignored_keys: published keys that carry nothing for us (prefixes); everything else must match exactly.
        renamed_keys: published prefix -> attribute path here.
    """

    name: str
    title: str
    paper: str
    network: str
    size_rule: SizeRule
    variants: tuple[Variant, ...]
    scales: tuple[Fraction, ...] | None = None
    default_scale: Callable[[int, int], Fraction] = common_scale
    options: Mapping[str, OptionCheck] = field(default_factory=dict)
    option_defaults: Mapping[str, object] = field(default_factory=dict)
    code_licence: str = ""
    ignored_keys: tuple[str, ...] = ()
    renamed_keys: Mapping[str, str] = field(default_factory=dict)
