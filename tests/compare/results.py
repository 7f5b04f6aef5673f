"""A made-up comparison, for tests of its text and page."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from vsvfi.compare.images import heat, webp
from vsvfi.compare.result import Result, Shot, Tally
from vsvfi.compare.source import Image

SIZE = (160, 96)
NAME = 'a <b>"film"</b> & more.mkv'


def random_image(seed: int) -> Image:
    """A smooth image, another one for each seed."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    waves = [0.5 + 0.4 * np.sin((x * (seed + 1) + 3 * y + 40 * channel) / 17) for channel in range(3)]
    return np.stack(waves).astype(np.float32)


def tally(name: str, psnr: list[float], *, model: bool = True, seconds: float = 0.5) -> Tally:
    frames = [7, 9, 31, 33, 51, 53][: len(psnr)]
    scores = {"psnr": dict(zip(frames, psnr, strict=True)), "ssim": dict.fromkeys(frames, 0.9)}
    return Tally(name, model, scores, [1.0, 2.0], [4 * seconds, seconds, seconds])


def result(*, images: bool = True) -> Result:
    """Three places, three methods."""
    found = Result(NAME, SIZE, 86_400, Fraction(24), Fraction(2), "a device")
    found.places = [(6, 7, 8, 9, 10), (30, 31, 32, 33, 34), (50, 51, 52, 53, 54)]
    found.tallies = [
        tally("blend", [20, 21, 22, 23, 21, 22], model=False, seconds=0.001),
        tally("builtin", [30, 31, 32.5, 33, 31, 32], seconds=0.1),
        tally("rife", [31, 32, 33, 34.1, 31.5, 33.4]),
    ]
    found.hours = {"blend": 0.024, "builtin": 2.4, "rife": 12.0}
    found.left_out = {"ifrnet": "its weights are <not> here"}
    if images:
        for index, frame in enumerate((7, 31)):
            shown = {
                name: random_image(seed)
                for seed, name in enumerate(("truth", "before", "after", "blend", "builtin", "rife"))
            }
            errors = {name: webp(heat(shown[name], shown["truth"])) for name in ("blend", "builtin", "rife")}
            found.shots.append(Shot(index, frame, {name: webp(shown[name]) for name in shown}, errors))
    return found
