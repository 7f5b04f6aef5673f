"""Measure what masks do for captions over moving footage: PSNR in the letters, next to them, and everywhere else.

    python -m scripts.evaluate.overlays --model builtin

Each clip is a large procedural image that moves by some pixels per source frame, under a caption of opaque letters that
appears and goes, and a half-transparent logo; some have black bars, and the caption stands on the border of one. Every
second frame is removed and predicted without a mask, with `mask="auto"` and with the true mask. `found` is the share of
the letters' pixels in the automatic mask, `wrong` the share of all other pixels of the picture more than four away from
a letter. Prints a table, then one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

import vsvfi
from scripts.reported import reported
from vsvfi.clip.overlay_detection import overlay_masks
from vsvfi.clip.overlays import Mask
from vsvfi.synthetic import scene
from vsvfi.synthetic.captions import caption

WIDTH, HEIGHT, LENGTH = 640, 360, 49
SHOWN = range(10, 40)
"""Frames with the caption; the logo is always there."""

BAR = 40
"""Height of each black bar where there are any; the caption then stands on the border of the lower one."""

CASES = (
    ("textured", 8, 4, 0),
    ("textured", 8, 12, 0),
    ("textured", 3, 20, 0),
    ("mixed", 9, 16, 0),
    ("flat", 3, 16, 0),
    ("mixed", 5, 28, 0),
    ("textured", 3, 20, BAR),
    ("mixed", 9, 16, BAR),
)
"""Kind and seed of the ground, its pixels per source frame, and the height of black bars above and below."""

type Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Case:
    """A clip at twice the rate of its source, and the coverage of its letters.

    Attributes:
        clip: YUV420P8.
        letters: of each frame, [HEIGHT, WIDTH] in 0 to 1.
        bar: rows of black above and below the picture.
    """

    clip: vs.VideoNode
    letters: list[Array]
    bar: int = 0


def letters(n: int, bar: int = 0) -> Array:
    """Coverage of frame n; with black bars, the only line stands half on the lower one, the logo below the upper."""
    cover = np.zeros((HEIGHT, WIDTH), np.float32)
    lines = [("TRAVEL", 3, bar + 2 if bar else 18, WIDTH - 150, 0.5)]
    if n in SHOWN and bar:
        lines += [("LAST TRAIN TO ROME", 4, HEIGHT - bar - 14, 100, 1.0)]
    elif n in SHOWN:
        lines += [("LAST TRAIN TO ROME", 4, HEIGHT - 60, 100, 1.0), ("MINARETS 7", 3, HEIGHT - 26, 200, 1.0)]
    for text, size, top, left, strength in lines:
        drawn = caption(text, size) * np.float32(strength)
        cover[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return cover


def case(kind: str, seed: int, speed: float, bar: int = 0) -> Case:
    """Draw a clip; `speed` is in pixels per source frame, two frames here, and `bar` the height of black bars."""
    ground = scene(seed, WIDTH + round(speed * LENGTH / 2) + 1, HEIGHT, kind=kind).frame(2.0)
    covers = [letters(n, bar) for n in range(LENGTH)]
    ground[:, :bar] = ground[:, HEIGHT - bar :] = 0

    def paint(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        assert isinstance(f, vs.VideoFrame)
        out, start = f.copy(), round(n * speed / 2)
        shadow = np.zeros_like(covers[n])
        shadow[1:, 1:] = covers[n][:-1, :-1]
        for plane in range(3):
            image = ground[plane, :, start : start + WIDTH] * (1 - 0.7 * shadow * (covers[n] == 0))
            image = image * (1 - covers[n]) + 0.95 * covers[n]
            np.asarray(out[plane])[:] = np.rint(np.clip(image, 0, 1) * 255)
        return out

    blank = vs.core.std.BlankClip(format=vs.RGB24, width=WIDTH, height=HEIGHT, length=LENGTH, fpsnum=48)
    return Case(blank.std.ModifyFrame(blank, paint).resize.Bicubic(format=vs.YUV420P8, matrix_s="709"), covers, bar)


def true_masks(one: Case) -> vs.VideoNode:
    """The letters of each source frame."""
    blank = vs.core.std.BlankClip(format=vs.GRAY8, width=WIDTH, height=HEIGHT, length=(LENGTH + 1) // 2)

    def paint(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        assert isinstance(f, vs.VideoFrame)
        out = f.copy()
        np.asarray(out[0])[:] = 255 * (one.letters[2 * n] > 0)
        return out

    return blank.std.ModifyFrame(blank, paint)


def near(cover: Array) -> NDArray[np.bool_]:
    """Pixels up to four from a letter, letters included."""
    grown = cover > 0
    for _ in range(4):
        padded = np.pad(grown, 1)
        grown = np.logical_or.reduce([padded[y : y + HEIGHT, x : x + WIDTH] for y in range(3) for x in range(3)])
    return grown


def scores(one: Case, result: vs.VideoNode) -> list[float]:
    """PSNR of luma in letters, within four pixels of them, and elsewhere, over the frames where the caption stands."""
    errors: list[list[float]] = [[], [], []]
    for n in range(SHOWN.start + 1, SHOWN.stop - 1, 2):
        with result.get_frame(n) as made, one.clip.get_frame(n) as truth:
            error = (np.asarray(made[0]).astype(np.float64) - np.asarray(truth[0])) ** 2
        text, around = one.letters[n] > 0, near(one.letters[n])
        for found, area in zip(errors, (text, around & ~text, ~around), strict=True):
            found.append(float(error[area].mean()))
    return [float(10 * np.log10(255**2 / max(np.mean(found), 1e-9))) for found in errors]


def detection(one: Case, source: vs.VideoNode) -> tuple[float, float]:
    """Share of the letters' pixels that are found, and of the pixels away from them that are taken for letters."""
    found, wrong = [], []
    masks = overlay_masks(source)
    for n in range(0, masks.num_frames, 2):
        with masks.get_frame(n) as frame:
            mask = np.asarray(frame[0]) > 0
        text, picture = one.letters[2 * n] > 0, slice(one.bar, HEIGHT - one.bar)
        found.append(float(mask[text].mean()))
        wrong.append(float(mask[picture][~near(one.letters[2 * n])[picture]].mean()))
    return float(np.mean(found)), float(np.mean(wrong))


@reported("overlays")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m scripts.evaluate.overlays`."""
    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate.overlays", description=__doc__)
    parser.add_argument("--model", default="builtin", help="model to measure (default: builtin)")
    given = parser.parse_args(arguments)
    rows: list[dict[str, object]] = []
    print(f"{'ground':18} {'px':>3} {'mask':>5} {'letters':>8} {'beside':>7} {'rest':>6}", file=sys.stderr)
    for kind, seed, speed, bar in CASES:
        one = case(kind, seed, speed, bar)
        source = one.clip.std.SelectEvery(2, 0)
        found, wrong = detection(one, source)
        masks: dict[str, Mask | None] = {"none": None, "auto": "auto", "true": true_masks(one)}
        measured = {
            name: scores(one, vsvfi.interpolate(source, model=given.model, mask=mask)) for name, mask in masks.items()
        }
        for name, (letter, beside, rest) in measured.items():
            ground = f"{kind} {seed}{', bars' if bar else ''}"
            print(f"{ground:18} {speed:3} {name:>5} {letter:8.2f} {beside:7.2f} {rest:6.2f}", file=sys.stderr)
        rows.append(
            {"ground": f"{kind} {seed}", "pixels": speed, "bars": bar, "found": found, "wrong": wrong, **measured}
        )
    print(json.dumps({"model": given.model, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
