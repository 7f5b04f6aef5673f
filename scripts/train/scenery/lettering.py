"""Draw text as layers for training samples: captions, tickers, credits and signs in the fonts that are installed.

Fonts are looked up by name through Pillow and never copied; one that is not installed is left out. Pillow's own, with
which `scripts.evaluate.trials` measures, serves only where there is no other.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from PIL import ImageFont

FINE = 2
"""Texels per pixel: finer than the image, so that motion by parts of a pixel is exact."""
STRIP = (64, 640)
"""Height and width of a strip of text in pixels."""
SIZES = (8.0, 60.0)
"""Smallest and largest font size in pixels."""

_NAMES = (
    *(f"DejaVuSans{style}.ttf" for style in ("", "-Bold", "-Oblique", "-ExtraLight", "Condensed", "Condensed-Bold")),
    *(f"DejaVuSerif{style}.ttf" for style in ("", "-Bold", "-Italic", "Condensed-BoldItalic")),
    *(f"DejaVuSansMono{style}.ttf" for style in ("", "-Bold")),
    *(f"Liberation{style}-Regular.ttf" for style in ("Sans", "Serif", "Mono", "SansNarrow")),
)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_COMMON = "eeeettttaaaooiinnsshhrrdlcu"


@functools.cache
def fonts() -> tuple[str | None, ...]:
    """Return the names of the installed fonts; None is Pillow's own."""
    from PIL import ImageFont

    found: list[str | None] = []
    for name in _NAMES:
        try:
            ImageFont.truetype(name, 10)
        except OSError:
            continue
        found.append(name)
    return tuple(found) or (None,)


def _words(random: np.random.Generator, letters: int) -> str:
    """Random words of about this many letters in all: lower case, capitalised or upper case, with figures."""
    style, text = random.random(), ""
    while len(text) < letters:
        pool = _COMMON + _LETTERS
        word = "".join(pool[int(index)] for index in random.integers(0, len(pool), int(random.integers(1, 10))))
        if random.random() < 0.15:
            word = str(int(random.integers(0, 10 ** int(random.integers(1, 5)))))
        word = word.upper() if style < 0.35 else word.capitalize() if random.random() < 0.3 else word
        text += word + str(random.choice([" ", " ", " ", ", ", ". ", " - ", ": "]))
    return text


def _loaded(name: str | None, size: float) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    font = ImageFont.load_default(size) if name is None else ImageFont.truetype(name, size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _mask(draw_lines: list[tuple[float, str]], font: ImageFont.FreeTypeFont, stroke: int) -> NDArray[np.float32]:
    from PIL import Image, ImageDraw

    image = Image.new("L", (STRIP[1] * FINE, STRIP[0] * FINE))
    draw = ImageDraw.Draw(image)
    for top, text in draw_lines:
        draw.text((4.0, top), text, fill=255, font=font, stroke_width=stroke)
    return np.asarray(image, np.float32) / np.float32(255)


def strip(random: np.random.Generator) -> NDArray[np.float32]:
    """Draw lines of text, [4, height, width] texels of `STRIP`; colour is premultiplied by coverage.

    The letters are plain, outlined or shadowed, on nothing or on a bar that is opaque or half transparent.
    """
    size = float(np.exp(random.uniform(*np.log(SIZES)))) * FINE
    font = _loaded(fonts()[int(random.integers(len(fonts())))], size)
    pitch = size * float(random.uniform(1.15, 1.6))
    count = max(1, int((STRIP[0] * FINE - 0.2 * size) // pitch))
    count = count if random.random() < 0.5 else 1
    top = (STRIP[0] * FINE - pitch * count) / 2
    lines = [(top + pitch * index, _words(random, int(STRIP[1] * FINE / (0.45 * size)))) for index in range(count)]
    letters = _mask(lines, font, 0)
    bright = random.random() < 0.7
    ink = np.clip(random.uniform(0.75, 1.0, 3) if bright else random.uniform(0, 0.3, 3), 0, 1).astype(np.float32)
    if random.random() < 0.3:
        ink = random.uniform(0, 1, 3).astype(np.float32)
    behind = np.zeros_like(letters)
    style = random.random()
    edge = max(1, round(size * float(random.uniform(0.04, 0.1))))
    if style < 0.35:
        behind = _mask(lines, font, edge)
    elif style < 0.6:
        behind[edge:, edge:] = letters[:-edge, :-edge]
        behind *= np.float32(random.uniform(0.5, 1))
    shade = np.float32(0.0 if bright else 1.0) + np.zeros(3, np.float32)
    made = np.concatenate((shade[:, None, None] * behind, behind[None]))
    made = _over(letters, ink, made)
    if random.random() < 0.45:
        bar = np.zeros_like(letters)
        bar[round(max(0, top - 0.1 * size)) : round(top + pitch * count)] = random.choice([1.0, 1.0, 0.6, 0.35])
        colour = (random.uniform(0, 0.35, 3) if bright else random.uniform(0.65, 1, 3)).astype(np.float32)
        base = np.concatenate((colour[:, None, None] * bar, bar[None]))
        made = (made + base * (1 - made[3:])).astype(np.float32)
    return made


def _over(mask: NDArray[np.float32], colour: NDArray[np.float32], below: NDArray[np.float32]) -> NDArray[np.float32]:
    top = np.concatenate((colour[:, None, None] * mask, mask[None]))
    result: NDArray[np.float32] = top + below * (1 - mask)
    return result


def strips(random: np.random.Generator, count: int) -> Tensor:
    """Draw `count` strips, [N, 4, height, width], as coverage of squares of a pixel around each texel."""
    drawn = torch.from_numpy(np.stack([strip(random) for _ in range(count)]))
    kernel = torch.tensor([0.25, 0.5, 0.25])
    weight = (kernel[:, None] * kernel).expand(4, 1, 3, 3)
    return functional.conv2d(functional.pad(drawn, (1, 1, 1, 1)), weight, groups=4)
