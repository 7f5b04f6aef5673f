"""The command line of the training program."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.train.architectures import ARCHITECTURES
from scripts.train.recipes import PACKAGED, RECIPES
from scripts.train.schedules import Plateau


def parser() -> argparse.ArgumentParser:
    """Build the parser of all recipes but `builtin`."""
    made = argparse.ArgumentParser(prog="scripts.train", description="Train or fine-tune a model.")
    made.add_argument("recipe", nargs="?", choices=RECIPES, metavar="RECIPE", help="see --list")
    made.add_argument("--list", action="store_true", help="list the recipes")
    made.add_argument(
        "--data",
        nargs="+",
        metavar="DATA",
        help="the folder of the published set, KIND FOLDER... for another kind, 'procedural', or 'video FILE...'",
    )
    made.add_argument(
        "--weights",
        nargs="+",
        help="begin with the published weights ('published') or with files; default: the recipe's initial weights",
    )
    made.add_argument("--steps", type=int, default=0, help="optimiser steps; default: the published run's")
    made.add_argument("--minutes", type=float, default=0.0, help="stop this call after so long; --resume goes on")
    made.add_argument("--batch", type=int, default=0, help="samples in memory at a time and process; others accumulate")
    made.add_argument("--total-batch", type=int, default=0, help="samples per step, instead of the recipe's")
    made.add_argument("--crop", type=int, default=0, help="side of the samples, instead of the recipe's")
    made.add_argument("--rate", type=float, default=0.0, help="initial learning rate, instead of the recipe's")
    made.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="fp32 is what was published")
    made.add_argument("--workers", type=int, default=0, help="processes that decode and read data")
    made.add_argument("--patience", type=int, help="validations without gain that end the run; video: 5, else never")
    made.add_argument("--cache-gib", type=float, default=20.0, help="disk for decoded video, in --out/frames")
    made.add_argument("--general", default="procedural", help="with video: one sample in four; 'none' for none")
    made.add_argument("--perceptual", choices=["recipe", "none"], default="recipe")
    made.add_argument("--lpips-backbone", type=Path, help="torchvision's AlexNet or VGG-16")
    made.add_argument("--lpips-heads", type=Path, help="the weights of LPIPS 0.1 for it")
    made.add_argument(
        "--exact", action="store_true", help="as published to the letter; refuses options that change the recipe"
    )
    _common(made, every=500)
    return made


def builtin_parser() -> argparse.ArgumentParser:
    """Build the parser of recipe `builtin`."""
    made = argparse.ArgumentParser(
        prog="scripts.train builtin", description="Train the packaged model from procedural samples."
    )
    recipe = PACKAGED
    schedule, average = recipe.schedule, recipe.average
    assert isinstance(schedule, Plateau)
    assert average is not None
    for name, kind, default, shown in (
        ("steps", int, recipe.length.steps, "optimiser steps of the run"),
        ("minutes", float, 0.0, "of training, instead of --steps; rate and curriculum follow the clock; 0 for none"),
        ("batch", int, recipe.batch, "samples per step, over all processes"),
        ("size", int, recipe.crop, "side of the samples"),
        ("ease", float, 0.25, "first share of the run, with smaller samples that move less"),
        ("far", float, 0.25, "share of later steps with larger samples that move farther"),
        ("rate", float, recipe.groups[0].rate, "full learning rate"),
        ("warmup", int, schedule.warmup, "steps in which the rate rises"),
        ("decay-from", float, schedule.fall_from, "share of the run at which the rate begins to fall"),
        ("averaging", float, average.limit, "largest decay of the average of the weights"),
        ("width", int, 0, "of a UPR-Net; 0 for its own"),
        ("flow-weight", float, 0.05, "of the error of the flow"),
        ("deviation-weight", float, 0.0, "of what PSNR counts"),
        ("census-weight", float, 0.0, "of the census distance"),
        ("sharpness-weight", float, 0.0, "of the ratio of gradient energies"),
        ("backgrounds", int, 128, "textures to render at the start"),
        ("sprites", int, 160, "the same"),
    ):
        made.add_argument(f"--{name}", type=kind, default=default, help=f"{shown}; default {default}")
    made.add_argument("--data", choices=recipe.data, default=recipe.data[0], help="procedural alone")
    made.add_argument("--weights", type=Path, help="a safetensors file of weights to begin with")
    made.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="uprnet")
    made.add_argument("--adam", action="store_true", help="AdamW for all weights, without Muon")
    made.add_argument(
        "--scenery",
        type=Path,
        metavar="FILE",
        help="also text, periodic things, drawings, fast and many movers; their textures are rendered into this file",
    )
    made.add_argument("--full-precision", action="store_true", help="no bfloat16")
    made.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile for blocks of layers (needs a C++ compiler on a CPU, Triton on CUDA)",
    )
    _common(made, every=250)
    return made


def _common(made: argparse.ArgumentParser, *, every: int) -> None:
    """Add the options that all recipes have."""
    made.add_argument("--out", type=Path, help="folder for all results (git ignores out/)")
    made.add_argument("--until", type=int, default=0, help="stop this call at this step; --resume goes on")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--device", default="cpu")
    made.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its choice")
    made.add_argument("--every", type=int, default=every, help=f"steps between validations; default {every}")
    made.add_argument("--held", type=int, default=16, help="validation samples")
    made.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    made.add_argument("--plan", action="store_true", help="show what would be done, and stop")
