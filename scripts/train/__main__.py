"""Train or fine-tune a model.

    python -m scripts.train --list
    python -m scripts.train ifrnet_s --data vimeo_triplet --out out/ifrnet_s
    python -m scripts.train uprnet_base --data procedural --out out/uprnet --steps 300
    python -m scripts.train ifrnet_s --data video show.mkv --weights published --out out/show --steps 4000
    torchrun --nproc-per-node 2 -m scripts.train uprnet_base --data vimeo_triplet --out out/uprnet

`builtin` makes the packaged model and has options of its own (`builtin --help`):

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

import torch
from torch import distributed

from scripts.train import builtin, prepare
from scripts.train.checkpoint import remove_drafts
from scripts.train.options import builtin_parser, parser
from scripts.train.plan import describe, listing
from scripts.train.record import all_terms
from scripts.train.report import Reporter
from scripts.train.run import Run, run
from vsvfi.errors import VsvfiError, for_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    packaged = words[:1] == ["builtin"]
    given = builtin_parser().parse_args(words[1:]) if packaged else parser().parse_args(words)
    if not packaged and given.list:
        print(listing())
        return 0
    try:
        _begin(given)
        subject = builtin.prepare(given) if packaged else prepare.prepare(given)
        _train(subject, given, shlex.join(["python", "-m", "scripts.train", *words]))
    except (ValueError, VsvfiError) as error:
        print(f"train: {for_command(str(error).removeprefix('train: '), model='')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train: interrupted; --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _begin(given: argparse.Namespace) -> None:
    """Set the number of threads, and join the other processes under torchrun."""
    if given.threads:
        torch.set_num_threads(given.threads)
    if "WORLD_SIZE" in os.environ and not distributed.is_initialized():
        if given.device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if given.device == "cuda" else "gloo")


def _train(subject: Run, given: argparse.Namespace, command: str) -> None:
    if given.resume:
        subject.restore(given.out / "last.pt")
    if subject.worker == 0:
        print(describe(subject, all_terms(subject.recipe.model, subject.origins)), file=sys.stderr, flush=True)
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


if __name__ == "__main__":
    raise SystemExit(main())
