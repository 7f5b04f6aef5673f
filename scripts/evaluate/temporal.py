"""Evaluate a model over time on procedural scenes: PSNR at every t of 8x, flicker and motion error (tOF).

    python -m scripts.evaluate.temporal --model builtin

Flicker is the mean absolute error of the change from one output frame to the next, in 1/255. tOF is the mean difference
in pixels between the optical flow from frame to frame of the output and that of the truth (Chu et al., TecoGAN, section
4), by the same plain Lucas-Kanade for every method. Prints tables, then one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scripts.evaluate.quality import Predictor, predictor
from scripts.reported import reported
from scripts.train.heldout import FIRST_SEED, psnr
from vsvfi.compare.minterpolate import Image, minterpolate
from vsvfi.metrics import end_point_error
from vsvfi.ops.warp import backward_warp
from vsvfi.synthetic import scene

FACTOR = 8
KINDS = ("mixed", "textured", "flat")


def optical_flow(first: Tensor, second: Tensor, levels: int = 3, rounds: int = 5, window: int = 9) -> Tensor:
    """Estimate the flow between two grey images with iterative Lucas-Kanade over a pyramid.

    Images are [B, 1, H, W]; the flow [B, 2, H, W] from the first to the second is in pixels.
    """
    pyramid = [(first, second)]
    for _ in range(levels - 1):
        pyramid.append(
            (
                functional.avg_pool2d(pyramid[-1][0], 2, ceil_mode=True),
                functional.avg_pool2d(pyramid[-1][1], 2, ceil_mode=True),
            )
        )
    flow = torch.zeros(first.shape[0], 2, *pyramid[-1][0].shape[2:])
    for level, (before, after) in enumerate(reversed(pyramid)):
        if level:
            flow = 2 * functional.interpolate(flow, size=before.shape[2:], mode="bilinear", align_corners=False)
        around = functional.pad(before, (1, 1, 1, 1), mode="replicate")
        x, y = (
            (around[..., 1:-1, 2:] - around[..., 1:-1, :-2]) / 2,
            (around[..., 2:, 1:-1] - around[..., :-2, 1:-1]) / 2,
        )
        xx, xy, yy = (_mean(product, window) for product in (x * x, x * y, y * y))
        xx, yy = xx + 1e-4, yy + 1e-4
        for _ in range(rounds):
            off = backward_warp(after, flow) - before
            a, b = _mean(x * off, window), _mean(y * off, window)
            change = torch.cat((yy * a - xy * b, xx * b - xy * a), 1) / (xx * yy - xy * xy)
            # Smoothed, so that areas without texture follow their surroundings
            flow = _mean(flow - change.clamp(-1, 1), 5)
    return flow


def _mean(image: Tensor, window: int) -> Tensor:
    return functional.avg_pool2d(image, window, 1, window // 2, count_include_pad=False)


def outputs(images: list[Image], predict: Predictor) -> dict[str, list[Tensor]]:
    """Interpolate a sequence to 8x with every method, source frames included: [1, 3, H, W] each."""
    made: dict[str, list[Tensor]] = {"repeat": [], "blend": [], "model": []}
    sources = [torch.from_numpy(image)[None] for image in images]
    for first, second in pairwise(sources):
        for step in range(FACTOR):
            t = step / FACTOR
            made["repeat"].append(first if t < 0.5 else second)
            made["blend"].append(first + t * (second - first))
            made["model"].append(predict(first, second, t).float().cpu() if step else first)
    made["minterpolate"] = [torch.from_numpy(image)[None] for image in minterpolate(images, FACTOR)][:-1]
    return made


@reported("temporal")
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="Score a model over time against exact procedural scenes.")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--scenes", type=int, default=2, help="of each kind")
    parser.add_argument("--sources", type=int, default=4, help="source frames of each scene")
    parser.add_argument("--size", type=int, nargs=2, default=(320, 180), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args(arguments)
    predict = predictor(given.model, None, given.device, given.precision)
    by_t: dict[str, list[list[float]]] = {}
    flicker: dict[str, list[float]] = {}
    motion: dict[str, list[float]] = {}
    for kind in KINDS:
        for index in range(given.scenes):
            shown = scene(FIRST_SEED + 300 + index, *given.size, kind=kind)
            drawn = [
                np.ascontiguousarray(shown.frame(3.0 + step / FACTOR)) for step in range((given.sources - 1) * FACTOR)
            ]
            truths = [torch.from_numpy(image)[None] for image in drawn]
            sources = [*drawn[::FACTOR], np.ascontiguousarray(shown.frame(3.0 + given.sources - 1))]
            true_flows = _flows(truths)
            for method, images in outputs(sources, predict).items():
                scores = by_t.setdefault(method, [[] for _ in range(FACTOR)])
                for step, (image, truth) in enumerate(zip(images, truths, strict=True)):
                    scores[step % FACTOR].append(psnr(image, truth))
                changes = [
                    ((b - a) - (d - c)).abs().mean()
                    for (a, b), (c, d) in zip(pairwise(images), pairwise(truths), strict=True)
                ]
                flicker.setdefault(method, []).append(255 * float(torch.stack(changes).mean()))
                motion.setdefault(method, []).append(float(end_point_error(_flows(images), true_flows).mean()))
    print(f"{'':14}" + "".join(f"{step}/{FACTOR}".rjust(8) for step in range(1, FACTOR)) + f"{'flicker':>10}{'tOF':>8}")
    found = {}
    for method in ("repeat", "blend", "minterpolate", "model"):
        times = [round(sum(values) / len(values), 2) for values in by_t[method][1:]]
        found[method] = {
            "psnr": times,
            "flicker": round(_average(flicker[method]), 3),
            "tof": round(_average(motion[method]), 3),
        }
        shown_as = given.model if method == "model" else method
        print(
            f"{shown_as:14}"
            + "".join(f"{value:8.2f}" for value in times)
            + f"{_average(flicker[method]):10.3f}{_average(motion[method]):8.3f}"
        )
    sys.stdout.flush()
    print(
        json.dumps(
            {
                "model": given.model,
                "scenes": given.scenes * len(KINDS),
                "frames": given.sources,
                "size": list(given.size),
                "methods": found,
            }
        )
    )
    return 0


def _flows(images: list[Tensor]) -> Tensor:
    grey = torch.cat(images).mean(1, keepdim=True)
    return optical_flow(grey[:-1], grey[1:])


def _average(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    raise SystemExit(main())
