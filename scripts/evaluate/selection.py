"""Check the model and parts of a set on the command line before weights are fetched or anything is computed."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.evaluate import motion_model
from scripts.evaluate.datasets import SETS, Item, Request, Split, check
from scripts.evaluate.protocols import Protocol, protocol_for
from scripts.evaluate.settings import overridden
from vsvfi.engine.model_config import ModelConfig
from vsvfi.errors import ArgumentError
from vsvfi.models.family import Family, Variant
from vsvfi.models.registry import check_options, find
from vsvfi.options import parse_precision
from vsvfi.plan.bisection import MAX_DEPTH, nearest


@dataclass(frozen=True, slots=True)
class Subject:
    """The measured model.

    Attributes:
        name: in results; "gimm" for the motion model, "stored" for stored images of unknown origin.
        registered: its entry in the registry, if it has one.
    """

    name: str
    registered: tuple[Family, Variant] | None = None

    @property
    def family(self) -> str:
        return self.registered[0].name if self.registered else self.name


@dataclass(frozen=True, slots=True)
class Part:
    """One split with its protocol, and the reasons why its score is not comparable with the published one."""

    split: Split
    protocol: Protocol
    warnings: tuple[str, ...]


def subject(given: argparse.Namespace) -> Subject:
    """Return the model on the command line.

    Raises:
        ArgumentError: it is missing, or not suitable for this set.
    """
    if SETS[given.set].motion:
        if given.model not in (None, motion_model.NAME):
            raise ArgumentError("model", given.model, "predicts images, and this set is of flows", "use gimm")
        if given.predictions or given.store or given.store_truths or given.fid:
            raise ArgumentError("set", given.set, "has no images to store or read", "leave those options out")
        return Subject(motion_model.NAME)
    if given.fid and not (given.store_truths and (given.store or given.predictions)):
        remedy = "add --store (or --predictions) and --store-truths"
        raise ArgumentError("fid", True, "compares stored images with stored truths", remedy)
    if given.store and given.predictions:
        raise ArgumentError("store", str(given.store), "would store what is stored", "leave out --store")
    if given.model is None:
        if given.predictions is None:
            raise ArgumentError("model", None, "must be named", "see `vsvfi models`")
        return Subject("stored")
    registered = find(given.model)
    return Subject(registered[1].name, registered)


def parts(given: argparse.Namespace, measured: Subject) -> list[Part]:
    """Return the parts of the set with their protocols.

    Raises:
        ArgumentError: the folder cannot be measured as it is (the details are on stderr), or the model does not take a
            setting.
    """
    data = SETS[given.set]
    unknown = [name for name in given.split if name not in data.splits]
    if unknown:
        raise ArgumentError("split", unknown[0], "is no part of this set", f"use {', '.join(data.splits)}")
    settings = {"keep_last": given.keep_last} | ({} if given.crop is None else {"crop": given.crop})
    found: list[Part] = []
    faults: list[str] = []
    for split in data.load(Request(given.data, tuple(given.split), settings)):
        protocol = overridden(protocol_for(measured.family, measured.name, given.set, split.name), given)
        bisects = _check_settings(measured, protocol)
        findings = check(split)
        warnings = findings.warnings
        if bisects and any(nearest(target.time) != target.time for item in split.items for target in item.targets):
            warnings += (f"{split.name}: {measured.name} bisects, so that times are rounded to 1/{2**MAX_DEPTH}",)
        if given.skip_missing and findings.complete:
            warnings += findings.faults
        else:
            faults += findings.faults
        found.append(Part(dataclasses.replace(split, items=findings.complete), protocol, warnings))
    for text in [*faults, *(text for part in found for text in part.warnings)]:
        print(f"benchmark: {given.set} {text}", file=sys.stderr)
    if faults:
        remedy = "complete the folder, or pass --skip-missing to leave those items out"
        raise ArgumentError("data", str(given.data), f"{len(faults)} faults are listed above", remedy)
    return found


def subset(items: Sequence[Item], count: int | None) -> list[tuple[int, Item]]:
    """Return numbered items: all, or the given number of them spread evenly."""
    numbered = list(enumerate(items))
    if count is None or count >= len(numbered):
        return numbered
    return [numbered[index * len(numbered) // count] for index in range(count)]


def _check_settings(measured: Subject, protocol: Protocol) -> bool:
    """Check settings as the family would at the first pair; returns whether it bisects."""
    parse_precision(protocol.precision)
    if measured.registered is None:
        return False
    family, variant = measured.registered
    config = ModelConfig(family, variant, protocol.scale, check_options(family, dict(protocol.options)))
    build = config.build_config(256, 256)
    return variant.uses_bisection(build) if protocol.times is None else protocol.times == "bisection"
