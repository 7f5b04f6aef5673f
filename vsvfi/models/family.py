"""Describe a model family without importing torch; every `spec.py` is made of these types."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from vsvfi.options.validators import Option
from vsvfi.weights.source import Source


class Timesteps(enum.Enum):
    """Which timesteps the published weights of a variant support."""

    ANY = "any"  # every t in (0, 1)
    HALF = "half"  # t = 1/2 only; other timesteps are reached by bisection (plan.bisection)


@dataclass(frozen=True, slots=True)
class SizeRule:
    """The sizes that a network accepts, and how a frame is padded to one.

    The padded size is the next multiple of D, the smallest positive integer with D * scale a multiple of `multiple`.

    Attributes:
        multiple: what the sizes at reduced resolution must be multiples of: one number, or (across, down).
        centred: split the padding evenly, the odd pixel going to right and bottom; else pad right and bottom only.
        minimum: smallest padded size.
        border: "replicate" repeats the edge pixel, "reflect" mirrors without repeating it, "constant" fills `value`.
        value: of a "constant" border.
    """

    multiple: int | tuple[int, int]
    centred: bool = True
    minimum: int = 1
    border: Literal["replicate", "reflect", "constant"] = "replicate"
    value: float = 0.0

    def divisors(self, scale: Fraction) -> tuple[int, int]:
        """Return D (across, down): 16 for multiple 16 at scale 1, 32 at 1/2, 20 at 4/5, 8 at 2."""
        across, down = self.multiple if isinstance(self.multiple, tuple) else (self.multiple, self.multiple)
        return (across / scale).numerator, (down / scale).numerator

    def padding(self, width: int, height: int, scale: Fraction) -> tuple[int, int, int, int]:
        """Return the pixels to add at (left, right, top, bottom)."""
        across, down = (
            -(-max(size, self.minimum) // divisor) * divisor - size
            for size, divisor in zip((width, height), self.divisors(scale), strict=True)
        )
        if not self.centred:
            return 0, across, 0, down
        return across // 2, across - across // 2, down // 2, down - down // 2


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """Build arguments of a network that are fixed for one clip size; they are part of no cache key.

    Attributes:
        scale: resolution of the motion estimation; the network's `scale` argument.
        size_rule: which sizes the network takes when built like this.
        arguments: further keyword arguments of the network (its checked options, pyramid levels, ...).
        bisection: the options ask for bisection although the weights support every t (see `Variant.uses_bisection`).
    """

    scale: Fraction
    size_rule: SizeRule
    arguments: Mapping[str, object]
    bisection: bool = False

    def padded_size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of a padded frame."""
        left, right, top, bottom = self.size_rule.padding(width, height, self.scale)
        return left + width + right, top + height + bottom

    def padded_area(self, width: int, height: int) -> int:
        """Return the pixels of a padded frame."""
        across, down = self.padded_size(width, height)
        return across * down


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One model that `model=` can name.

    Attributes:
        name: what the user writes.
        config: keyword arguments of the family's network class.
        sources: where its weights are published, best first.
        licence: licence of the weights.
        timesteps: which timesteps these weights support.
        parameters: number of weights.
        half: whether fp16 holds the stated tolerance on CUDA.
        bfloat: bf16 on the CPU was measured to be as good as fp32; used on request only, being outside the tolerance.
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

    def uses_bisection(self, build: BuildConfig) -> bool:
        """Return whether timesteps other than 1/2 are reached by bisection (`plan.bisection`).

        This is so if the weights support no other timestep, or if the user's options ask for it.
        """
        return self.timesteps is Timesteps.HALF or build.bisection


def common_scale(width: int, height: int) -> Fraction:
    """Return the default scale of families that publish no rule.

    It is 1 up to a long side of 2048 pixels, 1/2 up to 4096 (4K), and 1/4 above.
    """
    longer = max(width, height)
    return Fraction(1) if longer <= 2048 else Fraction(1, 2) if longer <= 4096 else Fraction(1, 4)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One architecture, and what its variants share.

    A family whose rules differ from the defaults overrides methods.

    Attributes:
        name: the folder under `models/`.
        title: display name.
        paper: citation with link.
        network: "module:Class", imported on first use, called with (**variant.config, scale=, **build.arguments).
        size_rule: which sizes it accepts.
        variants: its models.
        scales: the values of `scale` it takes, or None for any positive one.
        inputs: names of further tensors that a call of a `Model` may pass to `synthesise` (a sampler's noise).
        options: the keys that `options=` accepts, with their validators.
        options_type: a TypedDict of them, for type checkers and editors.
        code_licence: licence of the published program (ours is MIT and independent of it).
        ignored_keys: patterns (`re.match`) of published keys that are not used; all other keys must match exactly.
        renamed_keys: published prefix -> attribute path here.
        no_tiles: why its networks cannot compute a picture in tiles; empty if they can, and take `tile=`.
        no_export: why its networks cannot be written as ONNX graphs; empty if they can.
        export_remedy: what to do where one cannot.
        batches: run the midpoints of one bisection level as one batch (`Interpolator.synthesise_batch`).
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
    no_tiles: str = ""
    no_export: str = ""
    export_remedy: str = "use an IFRNet or a RIFE"
    batches: bool = False

    @property
    def option_defaults(self) -> dict[str, object]:
        """The default value of every option."""
        return {name: option.default for name, option in self.options.items()}

    def default_scale(self, width: int, height: int) -> Fraction:
        """Return the scale for `scale=None`: the authors' rule, or `common_scale` if they publish none."""
        return common_scale(width, height)

    def build_config(
        self, width: int, height: int, scale: Fraction, options: Mapping[str, object], variant: Variant | None = None
    ) -> BuildConfig:
        """Return the build arguments for clips of this size, from a checked scale and checked options.

        Raises:
            ArgumentError: scale, options and size do not go together.
        """
        return BuildConfig(scale, self.size_rule, options)

    def estimate_memory(
        self, variant: Variant, build: BuildConfig, size: tuple[int, int], number: int, times: int = 1
    ) -> int:
        """Estimate the peak memory in bytes of interpolating between two frames, weights excluded.

        Every family provides one, from bytes that were counted on fake tensors.

        Args:
            variant, build: of the network.
            size: (width, height) of the frames, before padding.
            number: bytes per value of the weights.
            times: timesteps computed in one batch.

        Returns:
            Bytes, or 0 for no estimate.
        """
        return 0

    def tiled_memory(self, variant: Variant, build: BuildConfig, area: int, window: int, number: int) -> int:
        """Estimate the peak memory of one frame in tiles in bytes, weights excluded.

        Args:
            variant, build: of the network.
            area: pixels of a padded frame: what is kept of it grows with them.
            window: pixels of a tile: activations grow with them.
            number: bytes per value.
        """
        return 0

    def adapt_state(self, state: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
        """Convert a published state dict before its keys are matched with our `names`.

        Overridden where `renamed_keys` cannot express which tensors to use.
        """
        return state

    def settled(self, variant: Variant, options: Mapping[str, object]) -> Variant:
        """Return the variant as checked options change it."""
        return variant

    def unexportable(self, variant: Variant) -> str:
        """Return why the variant's networks cannot be written as ONNX graphs; empty if they can."""
        return self.no_export

    def recognise(self, variant: Variant, state: Mapping[str, Any]) -> Variant:
        """Return the variant that a user's weights belong to.

        Overridden where the weights distinguish more versions of a network than there are names.

        Raises:
            ValueError: with the reason why these weights cannot be used.
        """
        return variant
