"""UPR-Net: variants, where their weights are, and how many pyramid levels a size takes. Data, and the level rule; no
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from vsvfi.errors import ArgumentError
from vsvfi.models.family import Family, Setup, SizeRule, Variant
from vsvfi.weights.source import Builtin, Url

_TRAINED_WIDTH = 448
_TRAINED_LEVELS = 3
_SKIPPED = {Fraction(1): 0, Fraction(1, 2): 1, Fraction(1, 4): 2}
_MOST_LEVELS = 9

BUILTIN_MORE_LEVELS = 1
"""What `builtin` takes beyond the published rule: large motion gains, README.md has the figures."""

_CHECKPOINTS = "https://github.com/srcn-ivl/UPR-Net/raw/master/checkpoints/"
_LICENCE = "CC BY-NC-ND 4.0 (non-commercial, no modified copies)"
_NOTICE = (
    "The weights of UPR-Net are published under Creative Commons BY-NC-ND 4.0 "
    "(https://creativecommons.org/licenses/by-nc-nd/4.0/): "
    "they may not be used commercially, and modified copies may not be shared. They are fetched from their authors' "
    "repository to this machine alone."
)


def levels_for(width: int, height: int) -> int:
    """Pyramid levels for a clip: 3 for the 448 pixels of the training set, one more for every doubling of the longer
    side, never fewer than 3.

    The published rule looks at the width alone and goes below 3 for small pictures; upright video deserves the levels
    of its longer side, and three levels are what the network was trained with.
    """
    levels = _TRAINED_LEVELS
    while max(width, height) > _TRAINED_WIDTH << (levels - _TRAINED_LEVELS):
        levels += 1
    return levels


def default_scale(width: int, height: int) -> Fraction:
    """The published choice: nothing skipped up to 1792 pixels (5 levels), then as many fine levels as leave motion at
    5: 1/2 for 2K, 1/4 for 4K and above.
    """
    skipped = min(max(levels_for(width, height) - 5, 0), 2)
    return Fraction(1, 2**skipped)


def configure(
    width: int, height: int, scale: Fraction, options: Mapping[str, object], more: int = 0, ensemble: int = 1
) -> Setup:
    """Levels and the padding that follows from them; `more` levels than the published rule, and an `ensemble`, where
    the options give none.

    Raises:
        ArgumentError: the given levels leave none to estimate motion at.
    """
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
    # The multiple counts at reduced resolution: 2 ** (levels + 1) pixels of the clip.
    rule = SizeRule(multiple=2 ** (levels + 1 - skipped), centred=False, border="constant", value=0.5)
    return Setup(scale, rule, {"levels": levels, "ensemble": options.get("ensemble") or ensemble})


def _check_levels(value: object) -> int | None:
    """`options={"levels": ...}`."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_LEVELS):
        raise ValueError(f"must be a whole number from 1 to {_MOST_LEVELS}, or None for the rule")
    return value


def _check_ensemble(value: object) -> int | None:
    """`options={"ensemble": ...}`."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value not in (1, 2, 4)):
        raise ValueError("must be 1, 2 or 4 views of a pair, or None for the model's own")
    return value


_BUILTIN = Builtin(
    file="uprnet_builtin.safetensors",
    sha256="06ca75d073b9191820af51c9528b4e90d1262e167940f782ea5c6de3e938c966",
    size=848_074,
)


def _builtin(name: str, ensemble: int, note: str) -> Variant:
    return Variant(
        name=name,
        config={"width": 8},
        sources=(_BUILTIN,),
        licence="MIT",
        parameters=420_009,
        configure=partial(configure, more=BUILTIN_MORE_LEVELS, ensemble=ensemble),
        bfloat=True,  # at most 0.03 dB apart on every moving set of the provenance file
        note=note,
    )


def _variant(name: str, width: int, parameters: int, git_blob: str, note: str) -> Variant:
    return Variant(
        name=f"uprnet_{name}",
        config={"width": width},
        sources=(Url(url=f"{_CHECKPOINTS}upr-{name}.pkl", git_blob=git_blob),),
        licence=_LICENCE,
        licence_notice=_NOTICE,
        parameters=parameters,
        note=note,
    )


FAMILY = Family(
    name="uprnet",
    title="UPR-Net",
    paper="Jin et al., A Unified Pyramid Recurrent Network for Video Frame Interpolation, CVPR 2023, "
    "https://arxiv.org/abs/2211.03456",
    network="vsvfi.models.uprnet.network:UPRNet",
    size_rule=SizeRule(multiple=16, centred=False, border="constant", value=0.5),
    scales=tuple(_SKIPPED),
    default_scale=default_scale,
    configure=configure,
    options={"levels": _check_levels, "ensemble": _check_ensemble},
    option_defaults={"levels": None, "ensemble": None},
    code_licence="CC BY-NC-ND 4.0",
    variants=(
        _builtin(
            "builtin", 1, "packaged, no download; small, trained on procedural scenes alone (scripts/train), any time"
        ),
        _builtin(
            "builtin_hq", 4, "packaged: builtin, and four views of each pair averaged; better and four times slower"
        ),
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
