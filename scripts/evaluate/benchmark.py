"""Score a model on a published test set by its authors' protocol, and print the published figure.

    python -m scripts.evaluate.benchmark vimeo90k --data vimeo_triplet --model uprnet_base

The folder is checked before anything is fetched or computed. Results of each item are stored, so that a stopped run
is resumed. Prints a table, then one line of JSON. docs/evaluate.md describes every set.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence

import vsvfi
from scripts.evaluate import motion_model
from scripts.evaluate.datasets import SETS
from scripts.evaluate.frechet import frechet_distance
from scripts.evaluate.pipeline import ItemError, Job, run
from scripts.evaluate.predict import Predictor, StoredPredictor, model_predictor
from scripts.evaluate.progress import Progress
from scripts.evaluate.report import SplitReport, as_json, print_table
from scripts.evaluate.results import Results
from scripts.evaluate.scoring import Networks, build_scorers, explained
from scripts.evaluate.selection import Part, Subject, parts, subject, subset
from scripts.evaluate.settings import parse
from scripts.evaluate.stores import claim, listing, stored_files
from vsvfi.engine.build import LoadedModel, load_weights
from vsvfi.engine.device import resolve_device
from vsvfi.engine.model_config import ModelConfig
from vsvfi.errors import ArgumentError, VsvfiError
from vsvfi.options import Options, parse_devices, parse_weights

_LATE = 1
"""Steps by which the published program of VSF splats too late."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, check, measure, print."""
    given = parse(arguments)
    try:
        _benchmark(given)
    except (VsvfiError, ItemError) as error:
        print(f"benchmark: {explained(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbenchmark: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _benchmark(given: argparse.Namespace) -> None:
    for name in ("weights", "alexnet", "lpips_heads", "pwcnet", "inception"):
        setattr(given, name, parse_weights(getattr(given, name), name))
    given.device = parse_devices(given.device)
    measured = subject(given)
    for name in given.device:
        resolve_device(name)
    found = parts(given, measured)
    load = functools.cache(lambda: load_weights(ModelConfig.of(Options(model=measured.name)), given.weights))
    networks = Networks(given.alexnet, given.lpips_heads, given.pwcnet, given.inception, given.device[0])
    reports = []
    for part in found:
        reports.append(_measure(given, measured, part, load, networks))
        print_table(reports[-1])
    weights = given.weights and str(given.weights)
    print(json.dumps(as_json(given.set, measured.name, weights, reports), allow_nan=False))


def _measure(
    given: argparse.Namespace, measured: Subject, part: Part, load: Callable[[], LoadedModel], networks: Networks
) -> SplitReport:
    """Measure one split, reusing the results on disk."""
    split, protocol, warnings = part.split, part.protocol, list(part.warnings)
    scorers, left_out = build_scorers(protocol.metrics.values(), networks)
    for form, reason in left_out.items():
        _warn(given, warnings, f"{split.name}: {form} is left out: {reason}")
    computed = {label: form for label, form in protocol.metrics.items() if form in scorers}
    if not computed:
        raise ArgumentError(
            "metrics", list(protocol.metrics.values()), "cannot be computed here", "see the reasons above"
        )
    protocol = dataclasses.replace(protocol, metrics=computed)
    part = dataclasses.replace(part, protocol=protocol)
    wanted = subset(split.items, given.subset)
    stores = [folder and folder / split.name for folder in (given.store, given.store_truths)]
    title = f"{given.set}-{split.name}-{measured.name}"
    results = Results(given.results, title, _decisive(given, measured, part))
    try:
        # Predictions depend on the settings, truths only on the data.
        for argument, folder, owner in zip(
            ("store", "store_truths"), stores, (results.path.stem, f"{given.data.resolve()} {given.crop}")
        ):
            if folder is not None:
                claim(folder, owner, argument)
        todo = [
            (number, item)
            for number, item in wanted
            if item.name not in results.done or not all(path.is_file() for path in stored_files(item, stores))
        ]
        progress = Progress(f"{given.set} {split.name}", len(wanted), len(wanted) - len(todo))
        if todo:
            predictors = _predictors(given, measured, part, load)
            motion = SETS[given.set].motion
            for scored in run(
                todo, Job(predictors, scorers, protocol.rounding, motion, stores[0], stores[1], given.workers)
            ):
                results.add(scored)
                progress.advance()
        done = [results.done[item.name] for _, item in wanted]
    finally:
        results.close()
    further = {}
    if given.fid:
        names = [name for scored in done for name in scored.targets]
        stored = (given.store or given.predictions) / split.name
        try:
            further["FID"] = frechet_distance(stored, given.store_truths / split.name, names, networks.features())
        except (ImportError, VsvfiError) as error:
            _warn(given, warnings, f"{split.name}: FID is left out: {explained(error)}")
    return SplitReport(given.set, split.name, measured.name, protocol, done, len(split.items), tuple(warnings), further)


def _warn(given: argparse.Namespace, warnings: list[str], text: str) -> None:
    warnings.append(text)
    print(f"benchmark: {given.set} {text}", file=sys.stderr)


def _predictors(
    given: argparse.Namespace, measured: Subject, part: Part, load: Callable[[], LoadedModel]
) -> list[Predictor]:
    """Create a predictor for each device, and download missing weights."""
    if given.predictions is not None:
        return [StoredPredictor(given.predictions / part.split.name) for _ in given.device]
    if measured.name == motion_model.NAME:
        late = _LATE if given.set == "vsf" and given.splat_times == "published" else 0
        return [motion_model.motion_predictor(given.weights, device, late) for device in given.device]
    return [model_predictor(load(), device, part.protocol) for device in given.device]


def _decisive(given: argparse.Namespace, measured: Subject, part: Part) -> dict[str, object]:
    """Return everything that determines a score of this split."""
    named = [path for path in (given.weights, given.alexnet, given.lpips_heads, given.pwcnet) if path]
    files = [file for path in named for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    weights = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    stored = given.predictions and listing(given.predictions / part.split.name)
    return {
        "set": given.set,
        "split": part.split.name,
        "data": str(given.data.resolve()),
        "model": measured.name,
        "weights": weights,
        "predictions": stored,
        "protocol": dataclasses.asdict(part.protocol),
        "crop": given.crop,
        "splat_times": given.splat_times if given.set == "vsf" else None,
        "version": vsvfi.__version__,
    }


if __name__ == "__main__":
    raise SystemExit(main())
