"""`vsvfi models`: what there is, what is installed and where; `vsvfi models fetch` brings weights to this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json

from vsvfi.engine.catalogue import ModelInfo, list_models
from vsvfi.models import registry
from vsvfi.weights.fetch import fetch

HELP = "list the models and fetch their weights"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")
    actions = parser.add_subparsers(metavar="fetch", dest="action")
    action = actions.add_parser("fetch", help="download the weights of models", description="Download the weights of models; prints where they are.")
    action.add_argument("names", nargs="+", metavar="NAME", help="a model, as listed by 'vsvfi models'")


def main(arguments: argparse.Namespace) -> int:
    if arguments.action == "fetch":
        return _fetch(arguments.names)
    models = list_models()
    if arguments.json:
        print(json.dumps([dataclasses.asdict(model) for model in models], indent=2))
    else:
        print(_table(models))
    return 0


def _fetch(names: list[str]) -> int:
    """Every name is checked before the first download."""
    for variant in [registry.find(name)[1] for name in names]:
        path = fetch(variant.name, variant.sources, licence=variant.licence, licence_notice=variant.licence_notice)
        print(f"{variant.name}\t{path}", flush=True)
    return 0


def _table(models: list[ModelInfo]) -> str:
    """Columns for a person: name, family, size, times, licence, installed, where."""
    rows = [("NAME", "FAMILY", "SIZE", "TIMES", "LICENCE", "INSTALLED", "WHERE")]
    for model in models:
        size = "?" if model.size_bytes is None else f"{model.size_bytes / 1e6:.1f} MB"
        where = model.path or (model.sources[0] if model.sources else "not published for download")
        rows.append((model.name, model.family, size, model.timesteps, model.licence, "yes" if model.installed else "no", where))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
