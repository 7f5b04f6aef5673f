"""Prepare a run of a published recipe from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch

from scripts.train.build import build_form, check_start, load
from scripts.train.losses.perceptual import PUBLISHED_DROPOUT, Perceptual, perceptual
from scripts.train.recipe import Recipe, fine_tuned, with_rate
from scripts.train.recipes import RECIPES
from scripts.train.record import origin_of
from scripts.train.run import Run, Settings
from scripts.train.sources.choose import choose
from scripts.train.sources.source import ENDLESS
from vsvfi.models.registry import find
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state


def prepare(given: argparse.Namespace) -> Run:
    """Build a run at its start.

    Raises:
        ValueError: an option does not fit the others.
    """
    if given.recipe == "builtin":
        raise ValueError("builtin, has options of its own; write it first, before all options")
    if given.recipe is None or not given.data or given.out is None:
        raise ValueError("RECIPE, --data and --out are needed; --list shows the recipes")
    fine = given.data[0] == "video"
    recipe = _adjusted(given, fine)
    if given.exact:
        _be_exact(given, fine)
    paths = _begin_with(given.weights, recipe)
    if fine and not paths and not given.resume:
        raise ValueError("--data video, fine-tunes weights; name them with --weights published or a file")
    states = [load_state(path) for path in paths]
    names = {name for state in states for name in state}
    if given.resume and (last := given.out / "last.pt").is_file():
        names |= set(torch.load(last, weights_only=True, mmap=True)["form"])
    recipe = replace(recipe, options=_options(recipe, names))
    source = choose(given, recipe)
    settings = Settings(
        out=given.out,
        steps=given.steps or _published_steps(recipe, len(source)),
        minutes=given.minutes,
        until=given.until,
        batch=given.batch,
        seed=given.seed,
        device=given.device,
        bfloat=given.precision == "bf16",
        every=given.every,
        held=given.held,
        workers=given.workers,
        patience=given.patience if given.patience is not None else 5 if fine else 0,
    )
    torch.manual_seed(given.seed)
    form = build_form(recipe, _perceptual(given, recipe), fine_tune=fine)
    form.initialise()
    for path, state in zip(paths, states, strict=True):
        load(form, recipe, state, str(path))
    if not given.resume:
        check_start(form, recipe)
    return Run(recipe, form, source, settings, [origin_of(path, recipe.model) for path in paths])


def _options(recipe: Recipe, names: Collection[str]) -> dict[str, object]:
    """Return the network's options for the weights that it begins with: those of `builtin` may have no search."""
    searches = not names or any("choice." in name for name in names)
    return {name: value and searches if name == "search" else value for name, value in recipe.options.items()}


def _adjusted(given: argparse.Namespace, fine: bool) -> Recipe:
    recipe = RECIPES[given.recipe]
    if fine:
        recipe = fine_tuned(recipe)
    if given.crop:
        recipe = replace(recipe, crop=given.crop)
    if given.total_batch:
        recipe = replace(recipe, batch=given.total_batch)
    if given.rate:
        recipe = with_rate(recipe, given.rate)
    if given.perceptual == "none":
        if recipe.form != "gimmvfi":
            raise ValueError(f"--perceptual none, {recipe.name} cannot go without its losses; only gimmvfi recipes can")
        recipe = replace(recipe, perceptual=None)
    return recipe


def _be_exact(given: argparse.Namespace, fine: bool) -> None:
    """Compute in float32 without shortcuts of the GPU.

    Raises:
        ValueError: an option changes the published run.
    """
    changed = [f"--{name}" for name in ("total-batch", "crop", "rate") if getattr(given, name.replace("-", "_"))]
    changed += [
        words
        for words, there in (
            ("--precision bf16", given.precision == "bf16"),
            ("--perceptual none", given.perceptual == "none"),
            ("--data video", fine),
        )
        if there
    ]
    if changed:
        raise ValueError(f"--exact, {', '.join(changed)} changes the published run; leave out one or the other")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def _begin_with(weights: list[str] | None, recipe: Recipe) -> list[Path]:
    """Return the files of initial weights; published ones are downloaded after showing their licence."""
    if weights == ["published"]:
        _, variant = find(recipe.model)
        return [fetch(variant.name, variant.sources, licence=variant.licence, licence_notice=variant.licence_notice)]
    return [Path(name) for name in weights or []]


def _perceptual(given: argparse.Namespace, recipe: Recipe) -> Perceptual | None:
    if recipe.perceptual is None:
        return None
    dropout = PUBLISHED_DROPOUT if given.exact and recipe.perceptual == "vgg" else 0.0
    return perceptual(recipe.perceptual, given.lpips_backbone, given.lpips_heads, dropout)


def _published_steps(recipe: Recipe, clips: int) -> int:
    """Return the length of the published run on data of this size.

    Raises:
        ValueError: it is stated in passes through data that has no end.
    """
    if recipe.length.steps:
        return recipe.length.steps
    if clips >= ENDLESS:
        raise ValueError("--data procedural, of which an epoch has no end; pass --steps")
    return recipe.length.epochs * max(1, clips // recipe.batch)
