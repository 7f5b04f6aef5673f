"""Count the peak memory of models on 4K and 8K frames, whole and in tiles.

    python -m scripts.benchmark.tiles

Sizes of tensors are counted on fake tensors, so that neither a GPU nor the memory is needed. Writes
`results/tiles_memory.json`, which `python -m scripts.benchmark.report` adds to docs/benchmarks.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import torch

from scripts.benchmark.report import RESULTS
from tests.models.live_bytes import pretend_weights, pretending
from vsvfi.engine.build import construct
from vsvfi.engine.model_config import ModelConfig
from vsvfi.engine.padding import Padding
from vsvfi.options import Options

MODELS = (
    *((name, None) for name in ("builtin", "uprnet_large", "ifrnet", "vfimamba_s", "rife")),
    ("rife", 1),
    ("rife46", 1),
    ("gimmvfi_r", None),
)
"""Names and scales; None for the default."""

SIZES = {"3840x2160": (3840, 2160), "7680x4320": (7680, 4320)}
TILES = (None, 1024, 512)


def peak(
    name: str, size: tuple[int, int], tile: int | None, dtype: torch.dtype = torch.float16, scale: int | None = None
) -> int:
    """Return the peak bytes of encoding two frames and interpolating one, frames included and weights excluded."""
    given = None if scale is None else Fraction(scale)
    config = replace(ModelConfig.of(Options(model=name, scale=given)), tile=tile)
    build = config.build_config(*size)
    padding = Padding.of(build, *size)
    network = construct(config.family, config.variant, build).to("meta").requires_grad_(False)
    kept = network.full_precision
    shape = 1, 3, padding.top + padding.height + padding.bottom, padding.left + padding.width + padding.right
    with pretending() as live:
        pretend_weights(network, lambda place: torch.float32 if f"{place}.".startswith(kept) else dtype, "cuda")
        images = [torch.empty(shape, device="cuda").contiguous(memory_format=torch.channels_last) for _ in range(2)]
        with live:
            for image in images:
                live.count(image)
            network(*images, torch.full((1,), 0.5, device="cuda"))
    return live.peak


def main(models: Sequence[tuple[str, int | None]] = MODELS) -> int:
    rows = []
    for name, scale in models:
        model = f"`{name}`" if scale is None else f"`{name}`, `scale={scale}`"
        for label, size in SIZES.items():
            counted = (peak(name, size, tile, scale=scale) / 2**30 for tile in TILES)
            rows.append([model, label, *(f"{gibibytes:.1f}" for gibibytes in counted)])
            print(*rows[-1], flush=True)
    result = {
        "order": 19,
        "section": "Memory",
        "title": "Tiles: peak GiB of 4K and 8K",
        "readme": "vsvfi/models/uprnet/README.md",
        "command": "python -m scripts.benchmark.tiles",
        "machine": "counted on tensors that have sizes alone",
        "versions": f"torch {'.'.join(torch.__version__.split('.')[:2])}",
        "conditions": "fp16 at the model's default scale unless the row names another; two frames are encoded and one "
        "is made between them, frames included, without weights, workspaces of CUDA's libraries and cached frames of "
        "other pairs",
        "columns": ["model", "size", "whole picture", "`tile=1024`", "`tile=512`"],
        "rows": rows,
        "notes": [
            "What remains are the frames, their features and the motion of the pair; the activations of a tile are "
            "small beside them. RIFE's fine blocks are few at the default scales, 1/2 for 4K and 1/4 for 8K.",
            "LDMVFI takes 5.2 GiB for a 4K frame; all but 0.2 are features that no tile makes smaller.",
            "PSNR of tiles against the whole picture is 80 dB and more (`pytest tests/models/test_tiles.py`, seeded "
            "weights).",
            '`builtin` searches the whole picture. With `options={"search": False}` a 4K frame takes 3.8 GiB whole, '
            "1.5 and 1.3 in tiles, an 8K frame 15.2, 5.2 and 5.0.",
        ],
    }
    (RESULTS / "tiles_memory.json").write_text(
        json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
