"""Choose a source from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from scripts.train.recipe import Recipe
from scripts.train.sources.procedural import IMAGES, Mixed, Procedural
from scripts.train.sources.published import Curriculum, Flows, GoPro, Quintuplets, Septuplets, Vimeo, XTrain
from scripts.train.sources.source import Source
from scripts.train.sources.video import Video

KINDS = (
    "vimeo",
    "septuplets",
    "septuplets_middle",
    "gopro",
    "xtrain",
    "curriculum",
    "quintuplets",
    "flows",
    "procedural",
    "video",
)
GENERAL_EVERY = 4
"""When fine-tuning, one sample in so many is of general data, against forgetting."""


def choose(given: argparse.Namespace, recipe: Recipe) -> Source:
    """Build the source that --data names.

    Raises:
        ValueError: the kind is not one of the recipe's, or lacks its folders.
    """
    kind, *rest = given.data
    if kind not in KINDS:
        kind, rest = recipe.data[0], list(given.data)
    if kind not in recipe.data:
        raise ValueError(f"train: --data={kind}, {recipe.name} takes {', '.join(recipe.data)}")
    if kind == "procedural":
        return _procedural(given, recipe, rest)
    paths = [Path(name) for name in rest]
    lacking = [str(path) for path in paths if not path.exists()]
    needed = 2 if kind == "curriculum" else 1
    if lacking or len(paths) < needed:
        what = (
            f"{lacking[0]} does not exist" if lacking else f"{kind} needs {needed} folder{'s' * (needed > 1)} or more"
        )
        raise ValueError(f"train: --data={' '.join(given.data)}, {what}; check the path")
    if kind == "video":
        own = Video(
            paths,
            given.out / "frames",
            recipe.crop,
            middle_only=recipe.middle_only,
            limit=int(given.cache_gib * (1 << 30)),
            workers=given.workers,
        )
        if given.general == "none":
            return own
        general = (
            _procedural(given, recipe) if given.general == "procedural" else _of_kind("vimeo", [Path(given.general)])
        )
        return Mixed(own, general, GENERAL_EVERY)
    return _of_kind(kind, paths)


def _procedural(given: argparse.Namespace, recipe: Recipe, numbers: Sequence[str] = ()) -> Procedural:
    """Build the procedural source; `numbers` are those of backgrounds and sprites to render."""
    if numbers and (len(numbers) != 2 or not all(number.isdigit() and int(number) for number in numbers)):
        raise ValueError(
            f"train: --data=procedural {' '.join(numbers)}, takes no folder; give nothing more, or the numbers of "
            "backgrounds and sprites to render"
        )
    images = (int(numbers[0]), int(numbers[1])) if numbers else IMAGES
    return Procedural(
        recipe.crop, given.seed, middle_only=recipe.middle_only, flows=recipe.form == "gimm", images=images
    )


def _of_kind(kind: str, paths: list[Path]) -> Source:
    root = paths[0]
    match kind:
        case "vimeo":
            return Vimeo(root)
        case "septuplets":
            return Septuplets(root)
        case "septuplets_middle":
            return Septuplets(root, middle=True)
        case "gopro":
            return GoPro(root)
        case "xtrain":
            return XTrain(root)
        case "curriculum":
            return Curriculum(root, paths[1])
        case "quintuplets":
            return Quintuplets(root)
    return Flows(root)
