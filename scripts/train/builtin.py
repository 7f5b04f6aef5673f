"""Prepare a run of recipe `builtin`, the packaged model, from the command line."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from safetensors.torch import load_file
from torch import distributed

from scripts.train.forms.packaged import PackagedForm, Weights
from scripts.train.recipe import Group, Recipe
from scripts.train.recipes import PACKAGED
from scripts.train.record import origin_of
from scripts.train.run import Run, Settings
from scripts.train.schedules import Average, Plateau
from scripts.train.sources.rendered import Rendered, Rendering


def prepare(given: argparse.Namespace) -> Run:
    """Build a run at its start.

    Raises:
        ValueError: an option does not fit the others.
    """
    if given.out is None:
        raise ValueError("--out is needed: a folder for all results")
    if given.width and given.architecture not in ("uprnet", "fine"):
        raise ValueError(f"--width {given.width} is for --architecture uprnet or fine; leave it out")
    if given.weights is not None and not given.weights.is_file():
        raise ValueError(f"--weights {given.weights}, there is no such file; check the path")
    settings = Settings(
        out=given.out,
        steps=0 if given.minutes else given.steps,
        clock=given.minutes,
        until=given.until,
        seed=given.seed,
        device=given.device,
        bfloat=not given.full_precision,
        every=given.every,
        held=given.held,
    )
    rendering = Rendering(
        given.seed, given.size, given.ease, given.far, given.backgrounds, given.sprites, given.scenery
    )
    origins = [] if given.weights is None else [origin_of(given.weights, PACKAGED.model)]
    source = Rendered(rendering, torch.device(given.device))
    return Run(adjusted(given), build_form(given), source, settings, origins)


def adjusted(given: argparse.Namespace) -> Recipe:
    """Return the recipe with the given options; the batch is rounded down to a multiple of the processes."""
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    return replace(
        PACKAGED,
        crop=given.size,
        batch=max(1, given.batch // processes) * processes,
        optimiser="adamw" if given.adam else "muon",
        groups=(Group(given.rate),),
        schedule=Plateau(given.warmup, given.decay_from),
        average=Average(given.averaging),
    )


def build_form(given: argparse.Namespace) -> PackagedForm:
    """Build the network in its training form; its initial weights depend on the seed alone."""
    weights = Weights(given.flow_weight, given.deviation_weight, given.census_weight, given.sharpness_weight)
    begin = None if given.weights is None else (load_file(given.weights), str(given.weights))
    torch.manual_seed(given.seed)
    form = PackagedForm(given.architecture, {"width": given.width} if given.width else {}, weights, begin)
    if given.compile:
        form.compile_blocks()
    return form
