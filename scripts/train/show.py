"""Render a procedural show with a look of its own, to try fine-tuning on.

    python -m scripts.train.show out/scroll.mp4
    python -m scripts.train.show out/inks.mp4 --look inks

Two looks that the packaged model was not trained on: a side-scrolling cartoon with repeated patterns (`scroll`), and
drawings with outlines and a paper grain that moves with them, in three inks (`inks`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.train import scroll
from vsvfi.media.pyav import pyav
from vsvfi.synthetic import scene

_INKS = np.array([[0.96, 0.91, 0.80], [0.84, 0.27, 0.22], [0.10, 0.22, 0.36]], np.float32)
"""Paper, red and blue."""

RATE = 24
LENGTH = 24
"""Frames of a scene."""


def inked(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Print an image [3, H, W] in [0, 1] with the inks: [H, W, 3] uint8."""
    grey = image.mean(0)
    warm = np.clip(image[0] - image[2] + 0.5, 0, 1)
    edges = np.abs(np.diff(grey, axis=0, append=grey[-1:])) + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    dark = np.clip(1.2 * (0.55 - grey) + 6 * np.clip(edges - 0.04, 0, 1), 0, 1)[..., None]
    red = (0.8 * np.clip(2 * warm - 0.9, 0, 1) * (1 - dark[..., 0]))[..., None]
    mixed = _INKS[0] * (1 - red) + _INKS[1] * red
    shown = mixed * (1 - dark) + _INKS[2] * dark
    shown *= 0.94 + 0.12 * image.std(0)[..., None]
    printed: NDArray[np.uint8] = (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)
    return printed


def _inks(scenes: int, size: tuple[int, int], seed: int) -> Iterator[NDArray[np.uint8]]:
    for number in range(scenes):
        shown = scene(seed + number, *size, kind=("mixed", "textured", "flat")[number % 3])
        for frame in range(LENGTH):
            yield inked(shown.frame(frame / 2))


def _scroll(scenes: int, size: tuple[int, int], seed: int) -> Iterator[NDArray[np.uint8]]:
    for number in range(scenes):
        shown = scroll.Scene(seed + number, *size)
        for frame in range(LENGTH):
            yield (shown.frame(frame) * 255 + 0.5).astype(np.uint8)


LOOKS: dict[str, Callable[[int, tuple[int, int], int], Iterator[NDArray[np.uint8]]]] = {
    "scroll": _scroll,
    "inks": _inks,
}
"""The frames [H, W, 3] of so many scenes, of a size and a seed."""


def render(
    path: Path, scenes: int, size: tuple[int, int] = (320, 192), seed: int = 77_000, look: str = "scroll"
) -> None:
    """Write the show as H.264."""
    with pyav().open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "12", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for image in LOOKS[look](scenes, size, seed):
            container.mux(stream.encode(pyav().VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and render."""
    parser = argparse.ArgumentParser(description="Render a procedural show.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=77_000)
    parser.add_argument("--look", choices=list(LOOKS), default="scroll")
    given = parser.parse_args(arguments)
    given.path.parent.mkdir(parents=True, exist_ok=True)
    render(given.path, given.scenes, seed=given.seed, look=given.look)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
