"""Estimate the flows that a recipe learns from, in the folder of the Vimeo90K triplets.

    python -m scripts.train.teacher ifrnet --data vimeo_triplet
    python -m scripts.train.teacher gimm --data vimeo_triplet --estimator flowformer

IFRNet reads flow/ENTRY/flow_t0.flo and flow_t1.flo, GIMM reads flow_sequences/ENTRY/imA_imB.flo.

The published teacher of IFRNet is LiteFlowNet, whose code and weights are for research only; this is RAFT. GIMM's first
stage was trained on flows of FlowFormer. Whole images are estimated, so that training crops know motion across their
borders. Flows that exist are kept: a stopped run goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from scripts.evaluate.datasets.folders import entries, find_folder, find_list
from scripts.evaluate.estimators import ESTIMATORS, load_estimator
from scripts.evaluate.flow_files import write_flow
from scripts.evaluate.images import read_image
from scripts.evaluate.progress import Progress
from scripts.reported import reported
from scripts.train.checkpoint import replace_file, write_text
from scripts.train.sources.published import TEACHER, Flows, Vimeo
from vsvfi.engine.device import inference, resolve_device
from vsvfi.errors import ArgumentError
from vsvfi.models.flow.estimator import FlowEstimator

_MULTIPLE, _SMALLEST = 8, 64
"""Of the images' sides; smaller ones are padded."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A pair of images and the flows between them: files for first to second, and back; None for one not needed."""

    first: Path
    second: Path
    forth: Path | None
    back: Path | None


def wanted_flows(recipe: str, root: Path) -> Iterator[Wanted]:
    """Yield the pairs whose flows a recipe needs, of training and test triplets.

    Raises:
        ArgumentError: images are missing.
    """
    for part in ("train", "test"):
        for entry in entries(find_list(root, f"tri_{part}list.txt")):
            first, middle, last = (root / "sequences" / entry / f"im{k}.png" for k in (1, 2, 3))
            for image in (first, middle, last):
                if not image.is_file():
                    raise ArgumentError("data", str(root), f"{image} is missing", "unpack the whole set")
            if recipe == "ifrnet":
                back, forth = Vimeo.flows(root, entry)
                yield Wanted(middle, first, back, None)
                yield Wanted(middle, last, forth, None)
            else:
                named = {name: root / Flows.FOLDER / entry / f"{name}.flo" for name in Flows.NAMES}
                yield Wanted(first, last, named["im1_im3"], named["im3_im1"])
                yield Wanted(middle, first, named["im2_im1"], None)
                yield Wanted(middle, last, named["im2_im3"], None)


def estimate(network: FlowEstimator[Any], first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate both flows [1, 2, H, W] between images [1, 3, H, W] in [0, 1] of any size."""
    height, width = first.shape[-2:]
    right, bottom = (max(_SMALLEST - side, -side % _MULTIPLE) for side in (width, height))
    padded = [functional.pad(2 * image - 1, (0, right, 0, bottom), mode="replicate") for image in (first, second)]
    forth, back = network.estimate(*(network.encode(image) for image in padded))
    return forth[..., :height, :width], back[..., :height, :width]


@reported("teacher", weights="--weights")
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and write the flows that are missing."""
    parser = argparse.ArgumentParser(description="Estimate the flows that IFRNet or GIMM learns from.")
    parser.add_argument("recipe", choices=["ifrnet", "gimm"])
    parser.add_argument("--data", type=Path, required=True, help="vimeo_triplet")
    parser.add_argument("--estimator", choices=list(ESTIMATORS), default="raft")
    parser.add_argument(
        "--weights", type=Path, help="of the estimator, or a GIMM-VFI checkpoint; by default the published are fetched"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--iterations", type=int, default=0, help="of the recurrence; by default the estimator's own")
    _write(parser.parse_args(arguments))
    return 0


def _write(given: argparse.Namespace) -> None:
    root = find_folder(given.data, ("vimeo_triplet",))
    todo = [pair for pair in wanted_flows(given.recipe, root) if any(_missing(pair))]
    if not todo:
        print("teacher: every flow exists", file=sys.stderr)
        return
    device = resolve_device(given.device)
    network, weights = load_estimator(given.estimator, given.weights)
    network = network.to(device)
    if given.iterations:
        network.iterations = given.iterations
    network.prepare_operators()
    _describe(root / (Vimeo.FOLDER if given.recipe == "ifrnet" else Flows.FOLDER), given, weights)
    progress = Progress("teacher", len(todo))
    for pair in todo:
        images = (read_image(path)[None].to(device, torch.float32) / 255 for path in (pair.first, pair.second))
        with inference(device):
            flows = estimate(network, *images)
        for path, flow in zip(_missing(pair), flows, strict=True):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_flow(path, flow.float().cpu())
        progress.advance()


def _missing(pair: Wanted) -> tuple[Path | None, Path | None]:
    forth, back = (None if path is None or path.is_file() else path for path in (pair.forth, pair.back))
    return forth, back


def _describe(folder: Path, given: argparse.Namespace, weights: Path) -> None:
    """Record how the flows are made, for the records of what learns from them.

    Raises:
        ArgumentError: those in the folder were made in another way.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    own = {"estimator": given.estimator, "weights_sha256": digest, "iterations": given.iterations or "its own"}
    path = folder / TEACHER
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != own:
        raise ArgumentError(
            "data", str(folder), "holds flows of another estimator", "use the same one, or remove the folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda draft: write_text(draft, json.dumps(own, indent=2) + "\n"))


if __name__ == "__main__":
    raise SystemExit(main())
