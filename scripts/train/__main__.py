"""Train or fine-tune a model.

    python -m scripts.train --list
    python -m scripts.train ifrnet_s --data vimeo_triplet --out out/ifrnet_s
    python -m scripts.train uprnet_base --data procedural --out out/uprnet --steps 300
    python -m scripts.train ifrnet_s --data video show.mkv --weights published --out out/show --steps 4000
    torchrun --nproc-per-node 2 -m scripts.train uprnet_base --data vimeo_triplet --out out/uprnet

`builtin` is the packaged model, with the options of `scripts.train.train`:

    python -m scripts.train builtin --out out/builtin --steps 6000

Writes into --out: `last.pt` (everything needed to go on with --resume), `weights.safetensors` and `weights.pth` (the
best weights, with the record and in the published layout), `curve.csv`, `sample-*.png`. Progress goes to stderr.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed

from scripts.train import train as builtin
from scripts.train.build import build_form, check_start, load
from scripts.train.checkpoint import remove_drafts
from scripts.train.losses.perceptual import PUBLISHED_DROPOUT, Perceptual, perceptual
from scripts.train.plan import describe, listing
from scripts.train.recipe import Recipe, fine_tuned, with_rate
from scripts.train.recipes import RECIPES
from scripts.train.record import all_terms, origin_of
from scripts.train.report import Reporter
from scripts.train.run import Run, Settings, run
from scripts.train.sources.choose import choose
from scripts.train.sources.source import ENDLESS
from vsvfi.errors import VsvfiError, for_command
from vsvfi.models.registry import find
from vsvfi.weights.fetch import fetch
from vsvfi.weights.load import load_state


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["builtin"]:
        return builtin.main(words[1:])
    given = _parser().parse_args(words)
    if given.list:
        print(listing())
        return 0
    try:
        _train(given, shlex.join(["python", "-m", "scripts.train", *words]))
    except (ValueError, VsvfiError) as error:
        print(f"train: {for_command(str(error).removeprefix('train: '), model='')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train: interrupted; --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts.train", description="Train or fine-tune a model.")
    parser.add_argument("recipe", nargs="?", choices=["builtin", *RECIPES], metavar="RECIPE", help="see --list")
    parser.add_argument("--list", action="store_true", help="list the recipes")
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="DATA",
        help="the folder of the published set, KIND FOLDER... for another kind, 'procedural', or 'video FILE...'",
    )
    parser.add_argument("--out", type=Path, help="folder for all results (git ignores out/)")
    parser.add_argument(
        "--weights",
        nargs="+",
        help="begin with the published weights ('published') or with files; default: the recipe's initial weights",
    )
    parser.add_argument("--steps", type=int, default=0, help="optimiser steps; default: the published run's")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop this call after so long; --resume goes on")
    parser.add_argument("--until", type=int, default=0, help="stop this call at this step; --resume goes on")
    parser.add_argument(
        "--batch", type=int, default=0, help="samples in memory at a time and process; others accumulate"
    )
    parser.add_argument("--total-batch", type=int, default=0, help="samples per step, instead of the recipe's")
    parser.add_argument("--crop", type=int, default=0, help="side of the samples, instead of the recipe's")
    parser.add_argument("--rate", type=float, default=0.0, help="initial learning rate, instead of the recipe's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="fp32 is what was published")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its choice")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode and read data")
    parser.add_argument("--every", type=int, default=500, help="steps between validations and checkpoints")
    parser.add_argument("--held", type=int, default=16, help="validation samples")
    parser.add_argument("--patience", type=int, help="validations without gain that end the run; video: 5, else never")
    parser.add_argument("--cache-gib", type=float, default=20.0, help="disk for decoded video, in --out/frames")
    parser.add_argument("--general", default="procedural", help="with video: one sample in four; 'none' for none")
    parser.add_argument("--perceptual", choices=["recipe", "none"], default="recipe")
    parser.add_argument("--lpips-backbone", type=Path, help="torchvision's AlexNet or VGG-16")
    parser.add_argument("--lpips-heads", type=Path, help="the weights of LPIPS 0.1 for it")
    parser.add_argument(
        "--exact", action="store_true", help="as published to the letter; refuses options that change the recipe"
    )
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    parser.add_argument("--plan", action="store_true", help="show what would be done, and stop")
    return parser


def _train(given: argparse.Namespace, command: str) -> None:
    if given.recipe is None or not given.data or given.out is None:
        raise ValueError("RECIPE, --data and --out are needed; --list shows the recipes")
    if given.threads:
        torch.set_num_threads(given.threads)
    if "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        if given.device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if given.device == "cuda" else "gloo")
    fine = given.data[0] == "video"
    recipe = _adjusted(given, fine)
    if given.exact:
        _be_exact(given, fine)
    paths = _begin_with(given.weights, recipe)
    if fine and not paths and not given.resume:
        raise ValueError("--data video, fine-tunes weights; name them with --weights published or a file")
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
    for path in paths:
        load(form, recipe, load_state(path), str(path))
    subject = Run(recipe, form, source, settings, [origin_of(path, recipe.model) for path in paths])
    if given.resume:
        subject.restore(given.out / "last.pt")
    else:
        check_start(form, recipe)
    if subject.worker == 0:
        print(describe(subject, all_terms(recipe.model, subject.origins)), file=sys.stderr, flush=True)
    if given.plan:
        return
    given.out.mkdir(parents=True, exist_ok=True)
    if subject.worker == 0:
        remove_drafts(given.out)
    reporter = Reporter(subject, command)
    if subject.worker == 0 and not given.resume:
        reporter.begin()
    run(subject, reporter.step, reporter.validate)
    if subject.worker == 0:
        reporter.end()


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
    if given.perceptual == "none" and recipe.form == "gimmvfi":
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


if __name__ == "__main__":
    raise SystemExit(main())
