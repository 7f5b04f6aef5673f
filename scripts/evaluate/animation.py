"""Draw the README's animation: a drawn clip at its own rate beside what a model makes of it.

    python -m scripts.evaluate.animation --out examples/animation.webp

Left, each drawn frame is held until the next one; right, the model computes three frames between two. The clip is
procedural (`vsvfi.synthetic`), 12 frames a second. Needs Pillow (extra `evaluate`).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import vsvfi
from scripts.reported import reported
from vsvfi.synthetic import demo_clip

type Image = NDArray[np.uint8]
"""[height, width, 3]."""

_RATE, _FACTOR, _GAP = 12, 4, 4
"""Frames per second of the clip, frames shown for each of them, pixels between both sides."""


@reported("animation")
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, draw, write."""
    parser = argparse.ArgumentParser(description="Draw a clip at 12 frames a second beside the same at 48.")
    parser.add_argument("--out", type=Path, default=Path("animation.webp"), help="the WebP file to write")
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--size", default="320x180", help="of each side (default: 320x180)")
    parser.add_argument("--frames", type=int, default=16, help="frames of each of the two scenes (default: 16)")
    parser.add_argument("--quality", type=int, default=50, help="of the WebP, 0 to 100 (default: 50)")
    given = parser.parse_args(arguments)
    width, height = map(int, given.size.split("x"))
    predict = vsvfi.load_model(given.model)
    shown = [image for frames in scenes(width, height, given.frames) for image in beside(frames, predict)]
    _write_webp(given.out, shown, given.quality)
    print(f"{given.out}: {len(shown)} frames, {given.out.stat().st_size / 1e6:.2f} MB")
    return 0


def scenes(width: int, height: int, count: int) -> Iterator[list[torch.Tensor]]:
    """Yield the frames of the textured and of the night scene of the demo clip, [3, H, W] each."""
    clip = demo_clip(width, height, 96)
    for scene in (clip.scenes[0], clip.scenes[2]):
        yield [torch.from_numpy(scene.frame(float(n))) for n in range(count)]


def beside(frames: Sequence[torch.Tensor], predict: Callable[..., torch.Tensor]) -> Iterator[Image]:
    """Yield each shown frame: the held one, a white line, and the interpolated one."""
    for first, second in itertools.pairwise(frames):
        for step in range(_FACTOR):
            made = predict(first, second, step / _FACTOR) if step else first
            line = torch.ones(3, first.shape[1], _GAP)
            image = torch.cat([first, line, made.cpu()], 2).clamp(0, 1)
            yield (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def _write_webp(path: Path, images: Sequence[Image], quality: int) -> None:
    from PIL import Image as Pillow  # wanted only here

    first, *rest = map(Pillow.fromarray, images)
    ends = [round(1000 * (n + 1) / (_RATE * _FACTOR)) for n in range(len(images))]
    durations = [end - start for start, end in zip([0, *ends], ends, strict=False)]  # whole milliseconds that add up
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, quality=quality, method=4)


if __name__ == "__main__":
    raise SystemExit(main())
