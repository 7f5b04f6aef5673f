"""`vsvfi models`: list the models, download weights (`fetch`), describe `options=` (`options`) and weight files."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from vsvfi.engine.catalogue import ModelInfo, list_models
from vsvfi.errors import ArgumentError
from vsvfi.models import registry
from vsvfi.weights.fetch import fetch
from vsvfi.weights.record import read_record

HELP = "list the models (-v: where their weights are) and fetch their weights"

_METRICS = ("lpips", "flolpips", "fid")
"""Metrics whose networks have weights."""

_NARROWEST_TEXT = 24
"""Least width of the text beside the other columns; on a narrower terminal it is printed below them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--weights", metavar="FILE", help="show the record of a weight file instead: the training data and settings"
    )
    actions = parser.add_subparsers(metavar="fetch | options", dest="action")
    action = actions.add_parser(
        "fetch",
        help="download the weights of models",
        description="Download the weights of models, or of the networks of metrics; prints where they are.",
    )
    action.add_argument(
        "names", nargs="+", metavar="NAME", help=f"a model, as listed by 'vsvfi models', or {', '.join(_METRICS)}"
    )
    action.set_defaults(weights_option="", model_option="")  # nothing else replaces what it is to fetch
    action = actions.add_parser(
        "options",
        help="show the values that options= accepts",
        description="Show the options= of interpolate() for models: name, values, default.",
    )
    action.add_argument("names", nargs="+", metavar="NAME", help="a model, as listed by 'vsvfi models'")


def main(arguments: argparse.Namespace) -> int:
    if arguments.action == "fetch":
        return _fetch(arguments.names)
    if arguments.action == "options":
        return _options(arguments.names)
    if arguments.weights is not None:
        return _record(arguments.weights, as_json=arguments.json)
    models = list_models()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(model) for model in models], indent=2))
    else:
        print(_table(models, _width(), verbose=arguments.verbose > 0))
    return 0


def _record(weights: str, *, as_json: bool) -> int:
    """Show the record of a weight file."""
    path = Path(weights)
    if not path.is_file():
        raise ArgumentError("weights", weights, "does not exist", "check the path")
    record = read_record(path)
    if record is None:
        rule = "holds no record, and there is none beside it"
        raise ArgumentError("weights", weights, rule, "ask where the file is from; scripts.train writes a record")
    if as_json:
        print(json.dumps(record, indent=2))
        return 0
    for line in _entries(record):
        print(line)
    return 0


def _entries(record: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Format a record, one value a line."""
    for name, value in record.items():
        title = f"{indent}{name.replace('_', ' ')}"
        for item in value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]:
            if isinstance(item, dict):
                yield f"{title}:"
                yield from _entries(item, indent + "  ")
            else:
                yield f"{title}: {', '.join(map(str, item)) if isinstance(item, list) else item}"


def _fetch(names: list[str]) -> int:
    """Download weights, after checking every name."""
    variants = {name: registry.find(name)[1] for name in names if name not in _METRICS}
    for name in names:
        if name in _METRICS:
            _fetch_metric(name)
            continue
        variant = variants[name]
        path = fetch(variant.name, variant.sources, licence=variant.licence, licence_notice=variant.licence_notice)
        print(f"{variant.name}\t{path}", flush=True)
    return 0


def _fetch_metric(name: str) -> None:
    """Download the weights of a metric's networks."""
    from vsvfi.metrics.weights import OF_METRICS

    for network in OF_METRICS[name]:
        print(f"{network.name}\t{network.path()}", flush=True)


def _options(names: list[str]) -> int:
    """One line for each option."""
    for name, (family, _) in {name: registry.find(name) for name in names}.items():
        for option, rule in family.options.items():
            print(f"{name}\t{option}\t{rule.rule} (default {rule.default!r}): {rule.description}")
        if not family.options:
            print(f"{name} takes no options")
    return 0


def _width() -> int | None:
    """Return the width of the terminal; None if a program reads the output, which gets one line per model."""
    watched = sys.stdout is not None and sys.stdout.isatty()
    return max(20, shutil.get_terminal_size().columns) if watched or os.environ.get("COLUMNS", "").isdigit() else None


def _table(models: list[ModelInfo], width: int | None, *, verbose: bool) -> str:
    """Format the models as a table.

    Name, family, size, times and whether it is installed have columns; licence, note and (verbose) path are wrapped
    text.
    """
    head = ("NAME", "FAMILY", "SIZE", "TIMES", "INSTALLED")
    rows = [
        (model.name, model.family, _size(model), model.timesteps, "yes" if model.installed else "no")
        for model in models
    ]
    texts = [[model.licence, model.note] + ([_place(model)] if verbose else []) for model in models]
    titles = ["LICENCE", "NOTE"] + (["WHERE"] if verbose else [])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    start = sum(widths) + 2 * len(widths)
    if width is None:
        widths += [max(map(len, column)) for column in zip(titles, *texts, strict=True)]
        return "\n".join(
            _columns((*row, *text), widths) for row, text in zip((head, *rows), (titles, *texts), strict=True)
        )
    if width - start >= _NARROWEST_TEXT:
        lines = [_columns((*head, ", ".join(titles)), [*widths, 0])]
        for row, text in zip(rows, texts, strict=True):
            first, *more = _wrapped(text, width - start)
            lines += [_columns((*row, first), [*widths, 0]), *(" " * start + line for line in more)]
        return "\n".join(lines)
    lines = []
    for (name, family, size, times, installed), text in zip(rows, texts, strict=True):
        facts = f"{family}, {size}, times: {times}, {'installed' if installed == 'yes' else 'not installed'}"
        lines += [name, *(f"  {line}" for line in _wrapped([facts, *text], width - 2))]
    return "\n".join(lines)


def _columns(cells: tuple[str, ...], widths: list[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _wrapped(texts: list[str], width: int) -> list[str]:
    """Wrap texts, each starting on a new line."""
    return [line for text in texts for line in textwrap.wrap(text, width, break_on_hyphens=False)] or [""]


def _size(model: ModelInfo) -> str:
    return "?" if model.size_bytes is None else f"{model.size_bytes / 1e6:.1f} MB"


def _place(model: ModelInfo) -> str:
    return model.path or (model.sources[0] if model.sources else "not published for download")
