"""Describe recipes and runs in words."""

from __future__ import annotations

from scripts.train.recipe import Recipe
from scripts.train.recipes import RECIPES
from scripts.train.run import Run
from scripts.train.sources.source import ENDLESS


def listing() -> str:
    """List all recipes, one a line."""
    lines = [
        "RECIPE              TRAINS           DATA                                     BATCH CROP  LENGTH          COST"
    ]
    for recipe in RECIPES.values():
        lines.append(
            f"{recipe.name:<19} {recipe.model:<16} {', '.join(recipe.data):<40} {recipe.batch:>5} {recipe.crop:>4}  "
            f"{_length(recipe):<15} {recipe.operations:g} T multiply-adds a step; {recipe.cost}"
        )
    return "\n".join(lines)


def _length(recipe: Recipe) -> str:
    return f"{recipe.length.steps} steps" if recipe.length.steps else f"{recipe.length.epochs} epochs"


def describe(subject: Run, terms: list[str]) -> str:
    """State what a run will do, before it does it."""
    recipe, settings, share = subject.recipe, subject.settings, subject.share
    clips = len(subject.source)
    passes = f", {settings.steps * share.clips / clips:.2g} passes through {clips} clips" if clips < ENDLESS else ""
    precision = "bfloat16 layers" if settings.bfloat and recipe.autocast else "float32"
    length, samples = f"{settings.steps} steps", f": {settings.steps * recipe.batch} samples"
    if settings.clock:
        length, samples = f"{settings.clock:g} minutes", ""
    lines = [
        f"{recipe.name}: trains {recipe.model} for {length}, each step of {recipe.batch} samples of "
        f"{recipe.crop}x{recipe.crop}{samples}{passes}",
        f"{subject.workers} process{'es' * (subject.workers > 1)}, {share.parts} accumulated part"
        f"{'s' * (share.parts > 1)} of {share.size} clips, {precision}",
        f"cost: {recipe.operations:g} T multiply-adds a step with the published batch and crop; "
        f"published run: {recipe.cost}",
        *(f"licence: {line}" for line in terms),
        *(f"note: {line}" for line in recipe.notes),
    ]
    if settings.bfloat and not recipe.autocast:
        lines.append("note: --precision bf16 has no effect: this recipe needs float32")
    return "\n".join(lines)
