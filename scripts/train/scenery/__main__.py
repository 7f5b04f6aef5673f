"""Draw a sheet of training samples of every kind.

    python -m scripts.train.scenery --out docs/samples.jpg

Each row is a kind: two samples, each as first frame, frame between, second frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from scripts.train.scenery.renderer import KINDS, Scenery, SceneryRenderer


def sheet(seed: int, side: int, textures: int) -> Tensor:
    """Draw two samples of every kind, [3, rows, columns] in [0, 1]."""
    scenery = Scenery.drawn(seed, textures, 2 * textures)
    rows = []
    for kind in KINDS:
        renderer = SceneryRenderer(scenery, 2, (side, side), seed, {kind: 1.0})
        samples = [renderer.draw(number) for number in (1, 2)]
        images = [image[0] for sample in samples for image in (sample.first, sample.truth, sample.second)]
        rows.append(torch.cat(images, 2))
    return torch.cat(rows, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, draw, write."""
    parser = argparse.ArgumentParser(description="Draw a sheet of training samples.")
    parser.add_argument("--out", type=Path, required=True, help="the image file to write")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--side", type=int, default=120, help="of each image in pixels, a multiple of 8")
    parser.add_argument("--textures", type=int, default=24, help="backgrounds to draw; sprites are twice as many")
    given = parser.parse_args(arguments)
    drawn = sheet(given.seed, given.side, given.textures)
    Image.fromarray((drawn.permute(1, 2, 0) * 255).round().byte().numpy()).save(given.out, quality=88)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
