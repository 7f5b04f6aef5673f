"""UPR-Net: variants, sources of their weights, and the number of pyramid levels for a size; no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, TypedDict

from vsvfi.errors import ArgumentError
from vsvfi.models.family import BuildConfig, Family, SizeRule, Variant
from vsvfi.options.validators import Choice, Flag, Whole
from vsvfi.weights.source import Builtin, Url

_TRAINED_WIDTH = 448
_TRAINED_LEVELS = 3
_SKIPPED = {Fraction(1): 0, Fraction(1, 2): 1, Fraction(1, 4): 2}
_MOST_LEVELS = 9
_SEARCHING = 430
"""Bytes per pixel that `vsvfi.models.uprnet.search` takes besides, whatever the precision."""

_TILED, _TILED_BESIDES = 260, 1_000_000
"""Bytes per pixel of a picture of which tiles are synthesised, and the pixels that count besides."""

_CHOICE = "choice."
"""Prefix of the weights that a search uses."""

_MULTIPLE = 32
"""Of the sizes of an image whose levels are padded each by itself."""

BUILTIN_MORE_LEVELS = 1
"""Levels that `builtin` adds to the published rule, for large motion."""

_CHECKPOINTS = "https://github.com/srcn-ivl/UPR-Net/raw/master/checkpoints/"
_LICENCE = "CC BY-NC-ND 4.0 (non-commercial, no modified copies)"
_NOTICE = (
    "The weights of UPR-Net are published under Creative Commons BY-NC-ND 4.0 "
    "(https://creativecommons.org/licenses/by-nc-nd/4.0/): "
    "they may not be used commercially, and modified copies may not be shared. They are fetched from their authors' "
    "repository to this machine alone."
)


def levels_for(width: int, height: int) -> int:
    """Return the pyramid levels for a clip: 3 up to 448 pixels, one more for every doubling of the longer side.

    448 pixels is the size of the training set. The published rule uses the width alone and goes below 3 for small
    frames; upright video needs the levels of its longer side, and the network was trained with three levels.
    """
    levels = _TRAINED_LEVELS
    while max(width, height) > _TRAINED_WIDTH << (levels - _TRAINED_LEVELS):
        levels += 1
    return levels


def default_scale(width: int, height: int) -> Fraction:
    """Return the published scale: 1 up to 1792 pixels (5 levels), 1/2 for 2K, 1/4 for 4K and above.

    Above 1792 pixels, up to two fine levels are skipped so that 5 estimate motion.
    """
    skipped = min(max(levels_for(width, height) - 5, 0), 2)
    return Fraction(1, 2**skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class UPRNetVariant(Variant):
    """A variant of UPR-Net.

    Attributes:
        more_levels: levels added to the published rule, if the options set none.
        ensemble: number of averaged views of a pair, if the options set none.
        pads_levels: pad each level by itself instead of the image to a multiple of the coarsest level's pixels, which
            are up to 26 % more pixels at 1080p; not as published.
        searches: search motion by small blocks too, if the options do not forbid it; the weights have what it needs.
    """

    more_levels: int = 0
    ensemble: int = 1
    pads_levels: bool = False
    searches: bool = False


class UPRNetOptions(TypedDict, total=False):
    """`options=` of the UPR-Net models, `builtin` among them."""

    levels: int | None
    ensemble: Literal[1, 2, 4] | None
    search: bool | None


def _searching(build: BuildConfig, area: int) -> int:
    return _SEARCHING * area if build.arguments["search"] else 0


class UPRNetFamily(Family):
    """The rules of UPR-Net."""

    def default_scale(self, width: int, height: int) -> Fraction:
        """See `default_scale`."""
        return default_scale(width, height)

    def estimate_memory(
        self, variant: Variant, build: BuildConfig, size: tuple[int, int], number: int, times: int = 1
    ) -> int:
        """Estimate the features of two frames at all levels, and of the finest synthesis or of the search."""
        channels, views = variant.config["width"], build.arguments["ensemble"]
        assert isinstance(channels, int)
        assert isinstance(views, int)
        held = 84 + 5 * channels * number + (views - 1) * (53 + 25 * number)
        area = build.padded_area(*size)
        return area * held + max(area * times * (66 + 19 * channels * number), _searching(build, area))

    def tiled_memory(self, variant: Variant, build: BuildConfig, area: int, window: int, number: int) -> int:
        """Estimate the features of two frames, the motion estimate and the synthesis of a tile."""
        channels, views = variant.config["width"], build.arguments["ensemble"]
        assert isinstance(channels, int)
        assert isinstance(views, int)
        values, scale = channels * number, float(build.scale)
        features = 3.5 * values * (1 + min(4 * scale**2, 1) / 3)
        held = features + (views - 1) * (24 + features)
        motion, synthesis = area * (84 + scale**2 * (25 + 2.8 * values)), area * 110 + window * (60 + 19 * values)
        searching = _TILED * (area + _TILED_BESIDES) if build.arguments["search"] else 0
        return int(area * held + max(motion, synthesis, searching))

    def build_config(
        self, width: int, height: int, scale: Fraction, options: Mapping[str, object], variant: Variant | None = None
    ) -> BuildConfig:
        """Return the levels and the padding that follows from them.

        Raises:
            ArgumentError: the given levels leave none to estimate motion at, or the weights know no search.
        """
        searches, asked = isinstance(variant, UPRNetVariant) and variant.searches, options.get("search")
        if asked and not searches:
            name = variant.name if variant is not None else self.title
            raise ArgumentError(
                "options['search']", True, f"{name} has none", "use model='builtin' or 'builtin_hq', or leave it out"
            )
        more, ensemble = (variant.more_levels, variant.ensemble) if isinstance(variant, UPRNetVariant) else (0, 1)
        skipped = _SKIPPED[scale]
        given = options["levels"]
        if given is None:
            levels = max(levels_for(width, height) + more, skipped + 1)
        else:
            assert isinstance(given, int)
            levels = given
            if levels <= skipped:
                raise ArgumentError(
                    "options['levels']",
                    levels,
                    f"must be more than the {skipped} levels that scale={float(scale)} skips",
                    f"use {skipped + 1} or more",
                )
        # A rule's `multiple` applies at reduced resolution.
        multiple = 2 ** (levels + 1)
        if isinstance(variant, UPRNetVariant) and variant.pads_levels:
            multiple = min(multiple, _MULTIPLE)
        rule = SizeRule(multiple=multiple >> skipped, centred=False, border="constant", value=0.5)
        arguments = {
            "levels": levels,
            "ensemble": options.get("ensemble") or ensemble,
            "search": searches if asked is None else asked,
        }
        return BuildConfig(scale, rule, arguments)

    def settled(self, variant: Variant, options: Mapping[str, object]) -> Variant:
        """Let the option decide whether `builtin` searches."""
        assert isinstance(variant, UPRNetVariant)
        return replace(variant, searches=False) if options["search"] is False else variant

    def unexportable(self, variant: Variant) -> str:
        """A search has no ONNX form."""
        assert isinstance(variant, UPRNetVariant)
        return "its search for small blocks has no ONNX form" if variant.searches else ""

    def recognise(self, variant: Variant, state: Mapping[str, Any]) -> Variant:
        """Return `builtin` without a search for weights that have none, such as those of a run without it."""
        assert isinstance(variant, UPRNetVariant)
        if variant.searches and not any(name.startswith(_CHOICE) for name in state):
            return replace(variant, searches=False)
        return variant

    def adapt_state(self, state: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any]:
        """Leave out what only a search uses, if this network has none."""
        searches = any(name.startswith(_CHOICE) for name in names)
        return state if searches else {name: value for name, value in state.items() if not name.startswith(_CHOICE)}


_BUILTIN = Builtin(
    file="uprnet_builtin.safetensors",
    sha256="e7233eeba5aa0e28970cf752533c819af3518905ed7eab7b4f9bd1cbf9c971a8",
    size=1_102_810,
)


_DETAIL = 0.4
"""Detail that `builtin` restores, chosen on procedural scenes and two clips: more is too sharp in flat drawings."""


def _builtin(name: str, ensemble: int, note: str) -> Variant:
    return UPRNetVariant(
        name=name,
        config={"width": 8, "detail": _DETAIL},
        sources=(_BUILTIN,),
        licence="MIT",
        parameters=546_497,
        more_levels=BUILTIN_MORE_LEVELS,
        ensemble=ensemble,
        pads_levels=True,
        searches=True,
        bfloat=True,  # as good as fp32 on every moving set of the provenance file
        note=note,
    )


def _variant(name: str, width: int, parameters: int, git_blob: str, note: str) -> Variant:
    return UPRNetVariant(
        name=f"uprnet_{name}",
        config={"width": width},
        sources=(Url(url=f"{_CHECKPOINTS}upr-{name}.pkl", git_blob=git_blob),),
        licence=_LICENCE,
        licence_notice=_NOTICE,
        parameters=parameters,
        note=note,
    )


FAMILY = UPRNetFamily(
    export_remedy="pass options={'search': False}, or use an IFRNet or a RIFE",
    name="uprnet",
    title="UPR-Net",
    paper="Jin et al., A Unified Pyramid Recurrent Network for Video Frame Interpolation, CVPR 2023, "
    "https://arxiv.org/abs/2211.03456",
    network="vsvfi.models.uprnet.network:UPRNet",
    size_rule=SizeRule(multiple=16, centred=False, border="constant", value=0.5),
    scales=tuple(_SKIPPED),
    options={
        "levels": Whole(
            1, _MOST_LEVELS, none="the rule", default=None, description="pyramid levels; more for larger motion"
        ),
        "ensemble": Choice(
            1,
            2,
            4,
            none="the model's own",
            default=None,
            description="views of a pair to average: better, and slower by as much",
        ),
        "search": Flag(
            none="the model's own",
            default=None,
            description="`builtin` alone: match small blocks too, for letters, patterns and drawings; True by default",
        ),
    },
    options_type=UPRNetOptions,
    code_licence="CC BY-NC-ND 4.0",
    variants=(
        _builtin(
            "builtin", 1, "packaged, no download; small, trained on procedural scenes alone (scripts/train), any time"
        ),
        _builtin("builtin_hq", 4, "packaged: builtin, and four views of each pair averaged; better, at twice the time"),
        _variant("base", 16, 1_653_961, "c455803adf797887e0e0a0ebc862816f0912ce7a", "small; large motion, any time"),
        _variant("large", 24, 3_701_865, "6313f56c679c9cf5558335dc469d42327b488647", "larger; large motion, any time"),
        _variant(
            "llarge",
            32,
            6_563_721,
            "c94cafbd7101aa4c51e5d3ed34fdcd145c5bad73",
            "largest and best; large motion, any time",
        ),
    ),
)
