"""Facts about a model family, without torch: what a `spec.py` is made of. Says nothing about how anything is
computed."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from vsvfi.options.validators import Option
from vsvfi.weights.source import Source


class Timesteps(enum.Enum):
    """Which times the published weights of a variant know."""

    ANY = "any"  # every t in (0, 1)
    HALF = "half"  # t = 1/2 alone; other times are reached by bisection (plan.bisection)


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Which sizes a network accepts, and how a frame is brought to one.

    The padded size is the next multiple of D, the smallest positive integer with D * scale a multiple of `multiple`.

    Attributes:
        multiple: what the sizes at reduced resolution must be multiples of: one number, or (across, down).
        centred: padding is split evenly between both sides, the odd pixel going to right and bottom; else it all goes
        to right and bottom.
        minimum: smallest padded size.
        border: what is added: the edge pixel again, the picture mirrored (edge not repeated), or `value`.
        value: of a "constant" border.
    """

    multiple: int | tuple[int, int]
    centred: bool = True
    minimum: int = 1
    border: Literal["replicate", "reflect", "constant"] = "replicate"
    value: float = 0.0

    def divisors(self, scale: Fraction) -> tuple[int, int]:
        """D (across, down): 16 for multiple 16 at scale 1, 32 at 1/2, 20 at 4/5, 8 at 2."""
        across, down = self.multiple if isinstance(self.multiple, tuple) else (self.multiple, self.multiple)
        return (across / scale).numerator, (down / scale).numerator

    def padding(self, width: int, height: int, scale: Fraction) -> tuple[int, int, int, int]:
        """Pixels to add at (left, right, top, bottom)."""
        across, down = (
            -(-max(size, self.minimum) // divisor) * divisor - size
            for size, divisor in zip((width, height), self.divisors(scale), strict=True)
        )
        if not self.centred:
            return 0, across, 0, down
        return across // 2, across - across // 2, down // 2, down - down // 2


@dataclass(frozen=True, slots=True)
class Setup:
    """What is fixed for one clip size: part of a built network, and of no cache key.

    Attributes:
        scale: resolution of the motion estimation; the network's `scale` argument.
        size_rule: which sizes the network takes when built like this.
        arguments: further keyword arguments of the network (its checked options, pyramid levels, ...).
        halving: the options ask for times other than 1/2 by bisection, though the weights know every t (see
        `Variant.halves`).
    """

    scale: Fraction
    size_rule: SizeRule
    arguments: Mapping[str, object]
    halving: bool = False


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
        bfloat: whether bf16 on the CPU, which is twice as fast where the CPU has it, was measured to give pictures as
        good as fp32's. It is outside the
            tolerance that published models are held to, so that they compute in it only when asked.
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
    bfloat: bool = False
    note: str = ""
    licence_notice: str = ""

    def halves(self, setup: Setup) -> bool:
        """Whether times other than 1/2 are reached by bisection (plan.bisection): these weights know no other, or the
        user's options ask for it.
        """
        return self.timesteps is Timesteps.HALF or setup.halving


def common_scale(width: int, height: int) -> Fraction:
    """The rule of families that publish none: 1 up to a long side of 2048 pixels, 1/2 up to 4096 (4K), 1/4 above."""
    longer = max(width, height)
    return Fraction(1) if longer <= 2048 else Fraction(1, 2) if longer <= 4096 else Fraction(1, 4)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture: what its variants share. A family whose rules differ from the usual ones overrides methods.

    Attributes:
        name: the folder under `models/`.
        title: how people call it.
        paper: citation with link.
        network: "module:Class" of the `Interpolator`, imported only when one is built. The class is called with
            `**variant.config, scale=setup.scale, **setup.arguments`.
        size_rule: which sizes it accepts.
        variants: its models.
        scales: the values of `scale` it takes, or None for any positive one.
        inputs: names of further tensors that a call of a `Model` may pass to `synthesise` (a sampler's noise).
        options: what `options=` may hold.
        options_type: a TypedDict of them, for type checkers and editors.
        code_licence: licence of the published program (ours is MIT and independent of it).
        ignored_keys: regular expressions, matched from the beginning, for published keys that carry nothing for us;
            everything else must match exactly.
        renamed_keys: published prefix -> attribute path here.
        batches: the midpoints of one level of bisection go through the network together
            (`Interpolator.synthesise_together`) where all of them are wanted.
    """

    name: str
    title: str
    paper: str
    network: str
    size_rule: SizeRule
    variants: tuple[Variant, ...]
    scales: tuple[Fraction, ...] | None = None
    inputs: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    options_type: type | None = None
    code_licence: str = ""
    ignored_keys: tuple[str, ...] = ()
    renamed_keys: Mapping[str, str] = field(default_factory=dict)
    batches: bool = False

    @property
    def option_defaults(self) -> dict[str, object]:
        """The options where none is given."""
        return {name: option.default for name, option in self.options.items()}

    def default_scale(self, width: int, height: int) -> Fraction:
        """For `scale=None`: the authors' rule, or `common_scale` where they publish none."""
        return common_scale(width, height)

    def setup(
        self, width: int, height: int, scale: Fraction, options: Mapping[str, object], variant: Variant | None = None
    ) -> Setup:
        """What is fixed for clips of this size, from a checked scale and checked options.

        Raises:
            ArgumentError: scale, options and size do not go together.
        """
        return Setup(scale, self.size_rule, options)

    def estimate_memory(self, variant: Variant, width: int, height: int, number: int) -> int:
        """Bytes that making a frame takes at the most, beside the weights, at `number` bytes a number; 0 for families
        that fit wherever the clip itself does.
        """
        return 0

    def adapt_state(self, state: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
        """A published state dict before its keys are matched with our `names`; where a table of names cannot say which
        tensors to take.
        """
        return state

    def recognise(self, variant: Variant, state: Mapping[str, Any]) -> Variant:
        """The variant that a user's weights belong to, where more versions of a network can be told apart by their
        weights than there are names.

        Raises:
            ValueError: with the reason why these weights cannot be used.
        """
        return variant
