"""Compare the runtime `onnx` with torch for every model that can be exported, with random weights at a small size.

    python -m scripts.onnx_against_torch --provider cpu

Prints, per model, the relative error and PSNR of three frames; of models with the same layout only the first is taken.
The last line is JSON. Exit code 1 if a model is further off than 1e-4 or 60 dB, or was run by torch instead.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import tempfile
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

import vsvfi
from vsvfi.cli.bench import write_random_weights
from vsvfi.models.family import Variant
from vsvfi.models.registry import families

TIMES = (0.25, 0.5, 0.8)


class _Warnings(logging.Handler):
    """Counts what is logged as a warning: a runtime that was replaced."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def layouts(only: list[str]) -> list[Variant]:
    """The variants to compare: one of each layout, of those that can be exported."""
    found: dict[str, Variant] = {}
    for family in families():
        for variant in family.variants if family.name in only else ():
            if not family.unexportable(variant):
                found.setdefault(f"{family.name} {sorted(variant.config.items())}", variant)
    return list(found.values())


def compared(name: str, provider: str, images: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Return the largest relative error and the least PSNR of a model's frames."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.safetensors"
        write_random_weights(name, weights)
        exact = vsvfi.load_model(name, weights, "cpu", "fp32")
        other = vsvfi.load_model(name, weights, "cpu", "fp32", runtime=f"onnx:{provider}")
    worst, least = 0.0, math.inf
    for t in TIMES:
        found, wanted = other(*images, t), exact(*images, t)
        error = float((found.double() - wanted.double()).square().mean())
        worst = max(worst, float((found - wanted).norm() / wanted.norm()))
        least = min(least, -10 * math.log10(error) if error else math.inf)
    return worst, least


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=["ifrnet", "rife"], metavar="FAMILY")
    parser.add_argument("--provider", default="cpu", help="of ONNX Runtime (default: cpu)")
    given = parser.parse_args()
    coarse = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    images = functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1)
    watch, failed = _Warnings(), []
    logging.getLogger("vsvfi").addHandler(watch)
    report: dict[str, list[float]] = {}
    for variant in layouts(given.families):
        before = watch.count
        error, psnr = compared(variant.name, given.provider, (images[:1], images[1:]))
        report[variant.name] = [error, psnr]
        good = error < 1e-4 and psnr > 60 and watch.count == before
        failed += [] if good else [variant.name]
        print(f"{variant.name:<16} {error:.1e} {psnr:6.1f} dB {'' if good else 'FAILED'}", flush=True)
    print(json.dumps({"provider": given.provider, "models": report, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
