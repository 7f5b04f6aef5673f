"""GIMM-VFI: variants, sources of their weights, and the sizes that follow from the scale; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import TypedDict

from vsvfi.errors import ArgumentError
from vsvfi.models.family import BuildConfig, Family, SizeRule, Variant
from vsvfi.options.validators import Whole
from vsvfi.weights.source import Hub, Source

_LICENCE = "S-Lab License 1.0 (non-commercial)"
_NOTICE = (
    "The weights of GIMM-VFI are published under the S-Lab License 1.0 (https://github.com/GSeanCDAT/GIMM-VFI): "
    "redistribution and use are for "
    "non-commercial purposes alone; commercial use needs the authors' permission. They are fetched from the hub to "
    "this machine and are no part of vsvfi."
)

_GRID = 8
"""Sizes after scaling must be multiples of this."""

_PUBLISHED_GRID = 32
"""The published program pads sizes before scaling to multiples of this."""

_SMALLEST = 64
"""Smallest size after scaling at which the correlation pyramid has all its levels."""


_TRUNK, _TRUNK_SHARE = 273 + 3 * 256, Fraction("1.35")
"""Values per pixel that the trunk's strips are planned with, and what they take in proportion to the plan."""

_HALOS = 2 * 20
"""Rows of a strip's halos."""


def strip_budget(tile: int, scale: Fraction) -> int:
    """Return the bytes that strips may take with tiles of this edge: those of the trunk of one, in half precision."""
    edge = int(tile * scale) + _HALOS
    return edge * edge * _TRUNK * 2


class GIMMVFIOptions(TypedDict, total=False):
    """`options=` of the GIMM-VFI models."""

    memory: int


class GIMMVFIFamily(Family):
    """The rules of GIMM-VFI."""

    def default_scale(self, width: int, height: int) -> Fraction:
        """Return the authors' settings: 1/2 for 2K, which includes full HD, and 1/4 for 4K."""
        longer = max(width, height)
        return Fraction(1) if longer <= 1536 else Fraction(1, 2) if longer <= 2880 else Fraction(1, 4)

    def build_config(
        self, width: int, height: int, scale: Fraction, options: Mapping[str, object], variant: Variant | None = None
    ) -> BuildConfig:
        """Return the padding that follows from the scale.

        Sizes become multiples of 32, as published, if that suits the scale, else of the smallest number that does.

        Raises:
            ArgumentError: the scale is above 1.
        """
        if scale > 1:
            raise ArgumentError(
                "scale",
                float(scale),
                "must be above 0 and at most 1 for GIMM-VFI",
                "use 1, 0.5 for 2K, 0.25 for 4K, or None for its own choice",
            )
        reduced = _PUBLISHED_GRID * scale
        multiple = int(reduced) if reduced % _GRID == 0 else _GRID
        return BuildConfig(scale, SizeRule(multiple=multiple, minimum=ceil(_SMALLEST / scale)), options)

    def estimate_memory(
        self, variant: Variant, build: BuildConfig, size: tuple[int, int], number: int, times: int = 1
    ) -> int:
        """Estimate the largest of motion estimation, the decoder's trunk in its strips, and the merge at full size."""
        memory = build.arguments["memory"]
        assert isinstance(memory, int)
        width, height = build.padded_size(*size)
        full, area = width * height, int(width * height * build.scale**2)
        estimation = 24 * full + area * (840 + 184 * number)
        held = 24 * full + area * (195 + 205 * number) + _volumes(area, memory, number)
        row = times * int(width * build.scale) * _TRUNK * number
        rows = _strip_rows(int(height * build.scale), row, 3 * memory << 18)
        trunk = held + times * area * 135 + int(row * rows * _TRUNK_SHARE)
        return max(estimation, trunk, held + times * full * (160 + 46 * number))

    def tiled_memory(self, variant: Variant, build: BuildConfig, area: int, window: int, number: int) -> int:
        """Estimate the largest of motion estimation, the trunk of a tile, and its merge."""
        memory, reduced = build.arguments["memory"], int(area * build.scale**2)
        assert isinstance(memory, int)
        estimation = 24 * area + reduced * (840 + 184 * number)
        if variant.config["estimator"] == "flowformer":  # its costs and cost maps, each up to a quarter of `memory`
            estimation = max(estimation, 24 * area + 500 * reduced + 2 * (memory << 18))
        held = 24 * area + reduced * (195 + 205 * number + 135) + _volumes(reduced, memory, number)
        trunk = held + int(window * build.scale**2 * _TRUNK * number * _TRUNK_SHARE)
        return max(estimation, trunk, held + 12 * area + window * (160 + 46 * number))


def _volumes(area: int, memory: int, number: int) -> int:
    """Return the bytes of a pair's correlation volumes, all levels and both directions; 0 if they are not stored."""
    bytes_ = 2 * number * (area // 64) ** 2 * 4 // 3
    return bytes_ if bytes_ <= memory << 18 else 0


def _strip_rows(height: int, row: int, budget: int) -> int:
    """Return the rows of the trunk that are computed at a time, halos included (`strips`)."""
    if height * row <= budget:
        return height
    strip = max(4, budget // row - _HALOS)
    return min(height, ceil(height / ceil(height / strip)) + _HALOS)


def _variant(name: str, estimator: str, parameters: int, sources: tuple[Source, ...], note: str) -> Variant:
    return Variant(
        name=f"gimmvfi_{name}",
        config={"estimator": estimator},
        sources=sources,
        licence=_LICENCE,
        licence_notice=_NOTICE,
        parameters=parameters,
        note=note,
    )


def _published(file: str, sha256: str | None = None) -> Hub:
    return Hub(repo="GSean/GIMM-VFI", file=file, sha256=sha256)


def _converted(file: str) -> Hub:
    return Hub(repo="Kijai/GIMM-VFI_safetensors", file=file)


FAMILY = GIMMVFIFamily(
    name="gimmvfi",
    title="GIMM-VFI",
    no_export="its motion estimators look up correlations at computed positions, and no ONNX operator computes that",
    paper="Guo, Li and Loy, Generalizable Implicit Motion Modeling for Video Frame Interpolation, NeurIPS 2024, "
    "https://arxiv.org/abs/2407.08680",
    network="vsvfi.models.gimmvfi.network:GIMMVFI",
    size_rule=SizeRule(multiple=_PUBLISHED_GRID, minimum=_SMALLEST),
    options={
        "memory": Whole(
            0,
            1 << 20,
            unit="MiB",
            default=4096,
            description="what correlation volumes (a quarter) and full-size activations (the rest) may take",
        )
    },
    options_type=GIMMVFIOptions,
    code_licence=_LICENCE,
    # A constant, counters, a second copy of RAFT's projection norms (`downsample.1` is used), FlowFormer's norm of
    # stages that it skips, and a position embedding that its global attention does not use.
    ignored_keys=(
        "g_filter$",
        r".*\.num_batches_tracked$",
        r"flow_estimator\.cnet\.layer[23]\.0\.norm3\.",
        r"flow_estimator\..*\.svt\.norm\.",
        r"flow_estimator\.memory_decoder\.att\.pos_emb\.",
    ),
    variants=(
        _variant(
            "r",
            "raft",
            19_785_792,
            (_published("gimmvfi_r_arb.pt"),),
            "RAFT flow; any time, best for 8x and above; sharp in PSNR",
        ),
        _variant(
            "r_p",
            "raft",
            19_785_792,
            (_published("gimmvfi_r_arb_lpips.pt"), _converted("gimmvfi_r_arb_lpips_fp32.safetensors")),
            "RAFT flow, trained for perception: sharper to the eye",
        ),
        _variant(
            "f",
            "flowformer",
            30_499_377,
            (_published("gimmvfi_f_arb.pt", "e0ad627ea021b4234cd8ce33341d27abd505310b7d380e4c6cfbc8909f993a2e"),),
            "FlowFormer flow, a little better than with RAFT; any time",
        ),
        _variant(
            "f_p",
            "flowformer",
            30_499_377,
            (
                _published(
                    "gimmvfi_f_arb_lpips.pt", "f2d52a1424d857a921e56fb82d9312ec27d58bbcbd58a7c3534593b9e6157858"
                ),
                _converted("gimmvfi_f_arb_lpips_fp32.safetensors"),
            ),
            "FlowFormer flow, trained for perception: sharper to the eye",
        ),
    ),
)
