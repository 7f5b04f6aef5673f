"""Compute the flows of VTF and VSF with FlowFormer, in the folder of the Vimeo90K test set.

    python -m scripts.evaluate.make_flows vtf --data vimeo_triplet

Files go to flow_sequences/ENTRY/imA_imB.flo. Those that are there already are kept, so a stopped run goes on where it
was. The authors do not say which weights of FlowFormer they used; the default is the file in their hub repository.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.evaluate.datasets import SETS, Request
from scripts.evaluate.estimators import load_estimator
from scripts.evaluate.flow_files import write_flow
from scripts.evaluate.images import read_image
from scripts.evaluate.progress import Progress
from scripts.reported import reported
from vsvfi.engine.device import inference, resolve_device
from vsvfi.errors import ArgumentError
from vsvfi.models.flow.estimator import FlowEstimator

_NAME = re.compile(r"im(\d)_im(\d)")


@dataclass(frozen=True, slots=True)
class Missing:
    """Two images and the missing flows between them; None for one that is not needed."""

    images: tuple[Path, Path]
    forth: Path | None
    back: Path | None


def missing_flows(data: str, root: Path) -> list[Missing]:
    """Find the missing flows of a set, both directions of a pair together."""
    (split,) = SETS[data].load(Request(root, settings={"keep_last": True}))
    found: list[Missing] = []
    for item in split.items:
        wanted: dict[tuple[str, str], dict[bool, Path]] = {}
        for path in item.files:
            match = _NAME.fullmatch(path.stem)
            assert match is not None
            if not path.is_file():
                ends = match.groups()
                pair = (min(ends), max(ends))
                wanted.setdefault(pair, {})[ends == pair] = path
        flows = item.inputs[0].parent
        images = flows.parents[len(Path(item.name).parts)] / "sequences" / item.name
        for (first, second), directions in wanted.items():
            pair_of_files = images / f"im{first}.png", images / f"im{second}.png"
            found.append(Missing(pair_of_files, directions.get(True), directions.get(False)))
    return found


def load_flowformer(weights: Path | None, device: torch.device) -> FlowEstimator[Any]:
    """Load FlowFormer with its published weights, or with those of a file.

    Raises:
        WeightsError: they are not available, or are those of another network.
    """
    network, _ = load_estimator("flowformer", weights)
    network = network.to(device)
    network.prepare_operators()
    return network


@reported("make_flows", weights="--weights")
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and compute the missing flows."""
    parser = argparse.ArgumentParser(description="Make the flows of VTF or VSF with FlowFormer.")
    parser.add_argument("set", choices=[name for name, data in SETS.items() if data.motion])
    parser.add_argument("--data", type=Path, required=True, help="vimeo_triplet or vimeo_septuplet")
    parser.add_argument("--weights", type=Path, help="a FlowFormer checkpoint; by default the published one is fetched")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--iterations", type=int, default=32, help="of the recurrence")
    _make(parser.parse_args(arguments))
    return 0


def _make(given: argparse.Namespace) -> None:
    todo = missing_flows(given.set, given.data)
    images = {path for entry in todo for path in entry.images}
    lacking = sorted(str(path) for path in images if not path.is_file())
    if lacking:
        rule = f"{len(lacking)} images are missing: {', '.join(lacking[:3])}"
        raise ArgumentError("data", str(given.data), rule, "unpack the whole set")
    if not todo:
        print("make_flows: every flow is there", file=sys.stderr)
        return
    device = resolve_device(given.device)
    network = load_flowformer(given.weights, device)
    network.iterations = given.iterations
    progress = Progress(given.set, len(todo))
    for entry in todo:
        with inference(device):
            first, second = (
                network.encode(2 * read_image(path)[None].to(device, torch.float32) / 255 - 1) for path in entry.images
            )
            flows = network.estimate(first, second)
        _write(entry, flows)
        progress.advance()


def _write(entry: Missing, flows: tuple[Tensor, Tensor]) -> None:
    for path, flow in zip((entry.forth, entry.back), flows, strict=True):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_flow(path, flow.float().cpu())


if __name__ == "__main__":
    raise SystemExit(main())
