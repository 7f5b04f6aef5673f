"""The command line of the benchmark, and its changes to a protocol."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from scripts.evaluate.datasets import SETS
from scripts.evaluate.datasets.gopro import CROP
from scripts.evaluate.protocols import Canvas, Pad, Protocol
from scripts.evaluate.scoring import FORMS, MOTION_FORMS
from vsvfi.errors import ArgumentError
from vsvfi.options import parse_scale

_SHORTHANDS = ("levels", "tta", "local", "hr", "steps")
_SETS_WITH = {
    "crop": ("gopro", "adobe240"),
    "keep_last": ("gopro", "adobe240", "vtf", "vsf"),
    "splat_times": ("vsf",),
}
"""Settings -> the sets that have them."""

_SUFFIX_OF_BOOLEAN = {"tta", "local", "hr"}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.evaluate.benchmark",
        description="Score a model on a published test set, by its authors' protocol unless options change it.",
    )
    parser.add_argument("set", choices=SETS, help="see docs/evaluate.md for where each is published")
    parser.add_argument("--data", type=Path, required=True, help="folder of the set as it was unpacked")
    parser.add_argument("--model", help="see `vsvfi models`; the motion sets have `gimm` alone")
    parser.add_argument("--weights", type=Path, help="a checkpoint instead of the published one")
    parser.add_argument("--split", nargs="+", default=[], help="parts of the set; all by default")

    run = parser.add_argument_group("run")
    run.add_argument("--subset", type=_count, help="only so many items of a split, spread evenly")
    run.add_argument("--results", type=Path, default=Path("benchmark-results"), help="folder of results for resuming")
    run.add_argument("--store", type=Path, help="write predictions to this folder, a folder for each split")
    run.add_argument("--store-truths", type=Path, help="write the true images likewise, as FID needs them")
    run.add_argument("--predictions", type=Path, help="score what --store wrote, without a model")
    networks = {"alexnet": "LPIPS", "lpips-heads": "LPIPS", "pwcnet": "FloLPIPS", "inception": "FID"}
    for name, what in networks.items():
        run.add_argument(f"--{name}", type=Path, help=f"weights of {what}; by default the published ones are fetched")
    run.add_argument("--fid", action="store_true", help="FID of the stored predictions; needs both --store options")
    run.add_argument("--device", nargs="+", default=["auto"], help="one or more, as cuda:0 cuda:1")
    run.add_argument("--workers", type=_count, default=min(8, os.cpu_count() or 1), help="threads for files, metrics")
    run.add_argument("--skip-missing", action="store_true", help="leave out items whose files are missing or damaged")

    rules = parser.add_argument_group("protocol", "each overrides the authors' setting")
    rules.add_argument("--scale", help="resolution of the motion estimation")
    rules.add_argument("--levels", type=_count, help="pyramid levels (UPR-Net)")
    rules.add_argument("--steps", type=_count, help="sampler steps (LDMVFI)")
    for name in sorted(_SUFFIX_OF_BOOLEAN):
        rules.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help="(VFIMamba)")
    rules.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="any option of the family")
    rules.add_argument("--pad", help="family, centred:32, corner:64:0.5 or canvas:640x480")
    rules.add_argument("--times", choices=("direct", "bisection"), help="how times other than 1/2 are reached")
    rules.add_argument("--round", action=argparse.BooleanOptionalAction, help="predictions to 8 bits before metrics")
    rules.add_argument("--metrics", nargs="+", metavar="FORM", help=", ".join(FORMS))
    rules.add_argument("--per-sequence", action=argparse.BooleanOptionalAction, help="average by sequence first")
    rules.add_argument("--precision", help="fp32 by default, as published")
    rules.add_argument("--tf32", action=argparse.BooleanOptionalAction, help="allow TF32 on CUDA")
    rules.add_argument("--crop", type=int, help=f"square of gopro and adobe240 ({CROP}); 0 for whole images")
    rules.add_argument("--keep-last", action="store_true", help="gopro, adobe240, vtf, vsf: the item that is dropped")
    rules.add_argument(
        "--splat-times",
        choices=("published", "right"),
        default="published",
        help="vsf: latents one step late, as the published program has them, or at the right time",
    )
    return parser.parse_args(arguments)


def overridden(protocol: Protocol, given: argparse.Namespace) -> Protocol:
    """Return the protocol with the command line's changes.

    Raises:
        ArgumentError: a value cannot be read, or the set has no such setting.
    """
    changes: dict[str, object] = {}
    differs = _of_one_set(given)
    options = dict(protocol.options)
    options.update({name: value for name in _SHORTHANDS if (value := getattr(given, name)) is not None})
    options.update(_option(text) for text in given.option)
    if options != protocol.options:
        changes["options"] = options
    if given.scale is not None:
        changes["scale"] = parse_scale(_number(given.scale))
    if given.pad is not None:
        changes["padding"] = _padding(given.pad)
    named = {"times": given.times, "rounding": given.round, "per_sequence": given.per_sequence}
    named |= {"precision": given.precision, "tf32": given.tf32}
    changes |= {name: value for name, value in named.items() if value is not None}
    if given.metrics is not None:
        motion = SETS[given.set].motion
        known = [form for form in FORMS if (form in MOTION_FORMS) is motion]
        unknown = [form for form in given.metrics if form not in known]
        if unknown:
            raise ArgumentError("metrics", unknown[0], "is not a metric of this set", f"use {', '.join(known)}")
        # Other scores do not depend on the choice, and a form that the authors do not use has another label.
        protocol = dataclasses.replace(protocol, metrics={_label(protocol, form): form for form in given.metrics})
    changes = {name: value for name, value in changes.items() if getattr(protocol, name) != value}
    if not changes and not differs:
        return protocol
    return dataclasses.replace(protocol, **changes, authors=False)  # type: ignore[arg-type]


def _of_one_set(given: argparse.Namespace) -> bool:
    """Check the settings that only some sets have, and return whether one differs from the published program."""
    named = {
        "crop": given.crop is not None,
        "keep_last": given.keep_last,
        "splat_times": given.splat_times != "published",
    }
    for name in (name for name, here in named.items() if here and given.set not in _SETS_WITH[name]):
        remedy = f"leave it out; it is for {', '.join(_SETS_WITH[name])}"
        raise ArgumentError(name, getattr(given, name), "is no setting of this set", remedy)
    if named["crop"] and given.crop < 0:
        raise ArgumentError("crop", given.crop, "must be 0 or more", "use 0 for whole images")
    return given.crop not in (None, CROP) or named["keep_last"] or named["splat_times"]


def _label(protocol: Protocol, form: str) -> str:
    """Return the protocol's name of a form, by which the published figure is found; else the form itself."""
    return next((label for label, used in protocol.metrics.items() if used == form), form)


def _option(text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ArgumentError("option", text, "must be NAME=VALUE", "use for example --option eta=0")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _number(text: str) -> Fraction | str:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return text


def _padding(text: str) -> Pad | Canvas | None:
    kind, *rest = text.split(":")
    try:
        if kind == "family" and not rest:
            return None
        if kind == "canvas":
            width, height = (int(number) for number in rest[0].split("x"))
            return Canvas(width, height)
        if kind in ("centred", "corner") and len(rest) <= 2 and int(rest[0]) > 0:
            return Pad(int(rest[0]), kind == "centred", float(rest[1]) if len(rest) == 2 else None)
    except (ValueError, IndexError):
        pass
    remedy = "use family, centred:32, corner:64:0.5 or canvas:640x480"
    raise ArgumentError("pad", text, "is not a padding", remedy)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number
