"""VFIMamba: variants, sources of their weights, supported sizes and options; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal, TypedDict

from vsvfi.models.family import BuildConfig, Family, SizeRule, Variant
from vsvfi.options.validators import Choice, Flag
from vsvfi.weights.source import Hub

_APACHE = "Apache-2.0 (stated on the authors' model cards)"

_SCALES = (Fraction(1), Fraction(1, 2), Fraction(1, 4))


class VFIMambaOptions(TypedDict, total=False):
    """`options=` of the VFIMamba models."""

    tta: bool
    local: bool
    hr: bool
    times: Literal["halving", "direct"]


class VFIMambaFamily(Family):
    """The rules of VFIMamba."""

    def default_scale(self, width: int, height: int) -> Fraction:
        """Return the scale the authors advise: 1/2 for 2K, which includes full HD, and 1/4 for 4K."""
        longer = max(width, height)
        return Fraction(1) if longer <= 1536 else Fraction(1, 2) if longer <= 2880 else Fraction(1, 4)

    def estimate_memory(
        self, variant: Variant, build: BuildConfig, size: tuple[int, int], number: int, times: int = 1
    ) -> int:
        """Estimate the features of two frames at all levels."""
        channels = variant.config["width"]
        assert isinstance(channels, int)
        values = channels * number
        return build.padded_area(*size) * (82 + 5 * values + times * (112 + 14 * values))

    def tiled_memory(self, variant: Variant, build: BuildConfig, area: int, window: int, number: int) -> int:
        """Estimate the mixing of two whole frames' features, and the correction of a tile."""
        channels = variant.config["width"]
        assert isinstance(channels, int)
        values = channels * number
        return int(area * (125 + 5 * values) + max(5.5 * area * values, window * (150 + 16 * values)))

    def build_config(
        self, width: int, height: int, scale: Fraction, options: Mapping[str, object], variant: Variant | None = None
    ) -> BuildConfig:
        """Return the padding: multiples of 32 as published, and of 16 at the reduced size, as the network needs."""
        arguments = {name: value for name, value in options.items() if name != "times"}
        rule = SizeRule(multiple=32 if scale == 1 else 16)
        return BuildConfig(scale, rule, arguments, bisection=options["times"] == "halving")


def _variant(name: str, published: str, width: int, parameters: int, note: str) -> Variant:
    return Variant(
        name=name,
        config={"width": width},
        sources=(
            Hub(repo=f"MCG-NJU/{published}", file="model.pkl"),
            Hub(repo="MCG-NJU/VFIMamba_ckpts", file=f"ckpt/{published}.pkl"),
        ),
        licence=_APACHE,
        parameters=parameters,
        note=f"{note}; large motion; any time, other than 1/2 by bisection unless options={{'times': 'direct'}}",
    )


FAMILY = VFIMambaFamily(
    name="vfimamba",
    title="VFIMamba",
    no_export="its selective scan depends on one token after the other, and no ONNX operator computes it",
    paper="Zhang et al., VFIMamba: Video Frame Interpolation with State Space Models, NeurIPS 2024, "
    "https://arxiv.org/abs/2407.02315",
    network="vsvfi.models.vfimamba.network:VFIMamba",
    size_rule=SizeRule(multiple=32),
    scales=_SCALES,
    options={
        "tta": Flag(
            default=False,
            description="average with the prediction for both frames rotated by 180 degrees: "
            "slightly better, twice the time",
        ),
        "local": Flag(
            default=True,
            description="run the local blocks; the authors switch them off for UCF101 and SNU-FILM hard and extreme",
        ),
        "hr": Flag(
            default=False,
            description="with scale below 1, run the local blocks at reduced size too: "
            "cheaper, the mode of the X-TEST results",
        ),
        "times": Choice(
            "halving",
            "direct",
            default="halving",
            description="how timesteps other than 1/2 are reached: by bisection or directly",
        ),
    },
    options_type=VFIMambaOptions,
    code_licence="Apache-2.0",
    ignored_keys=(".*attn_mask", ".*HW"),  # buffers that some published files contain and nothing uses
    variants=(
        _variant("vfimamba_s", "VFIMamba_S", 16, 16_792_786, "small"),
        _variant("vfimamba", "VFIMamba", 32, 66_070_921, "full size"),
    ),
)
