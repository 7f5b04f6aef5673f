"""Compute the gradients of one optimiser step, on one process or several.

python -m tests.train.gradients WORKER WORKERS MEETING
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, distributed

from scripts.train.build import build_form
from scripts.train.recipes import RECIPES
from scripts.train.run import Run, Settings
from scripts.train.sources.procedural import Procedural
from scripts.train.sources.source import Samples, batches


def gradients(
    batch: int, worker: int = 0, workers: int = 1, meeting: str = "", *, bfloat: bool = False
) -> dict[str, Tensor]:
    """Run one step of two samples, `batch` of them at a time and process; returns its gradients and `total`."""
    if workers > 1:
        distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=worker, world_size=workers)
    recipe = replace(RECIPES["builtin_uprnet"], batch=2, crop=64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        form = build_form(recipe)
        form.initialise()
    source = Procedural(64, 1, middle_only=False, images=(1, 1))
    subject = Run(recipe, form, source, Settings(out=Path(), steps=4, batch=batch, bfloat=bfloat))
    stream = batches(Samples(source, recipe.augmentation, 64, 1), subject.share, 0, 1, 0)
    losses, _, _ = subject.advance(list(stream))
    if workers > 1:
        distributed.destroy_process_group()
    found = {name: weight.grad for name, weight in subject.trained.items() if weight.grad is not None}
    return {**found, "total": torch.tensor(losses["total"])}


if __name__ == "__main__":
    torch.set_num_threads(1)
    gradients(1, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
