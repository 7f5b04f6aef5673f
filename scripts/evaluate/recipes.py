"""Draw the pictures of docs/recipes.md, before and after each recipe, from procedural clips.

    python -m scripts.evaluate.recipes [--only mask show] [--out docs/recipes]

Prints the size of each file. Needs Pillow (extra `evaluate`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

import vsvfi
from scripts.evaluate import overlays
from scripts.evaluate.encodes import drawn
from scripts.reported import reported
from vsvfi.cli.scripting import sample_clip
from vsvfi.options import CutMode
from vsvfi.synthetic import demo_clip, scene
from vsvfi.synthetic.drawings import FAULTS, HEIGHT, KINDS, Animation

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "recipes"
_GAP, _LABEL = 4, 18
"""Pixels between images, and height of the line above one."""

type Image = NDArray[np.uint8]
"""RGB, [height, width, 3]."""


# --- putting images together
# ----------------------------------------------------------------------------------------------------------------------


def image(clip: vs.VideoNode, n: int) -> Image:
    """Frame n of a clip."""
    given = {} if clip.format.color_family == vs.RGB else {"matrix_in": vs.MATRIX_BT709}
    with clip.resize.Bicubic(format=vs.RGB24, **given).get_frame(n) as frame:
        return np.stack([np.asarray(frame[plane]) for plane in range(3)], -1)


def row(*images: Image) -> Image:
    """Images of the same height beside each other."""
    gap = np.full((images[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([part for one in images for part in (one, gap)][:-1], 1)


def stack(*images: Image) -> Image:
    """Images of the same width below each other."""
    gap = np.full((_GAP, images[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for one in images for part in (one, gap)][:-1])


def labelled(text: str, below: Image) -> Image:
    """An image with a line of text above it."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    line = Pillow.new("RGB", (below.shape[1], _LABEL), "white")
    ImageDraw.Draw(line).text((1, 1), text, fill="black", font_size=13)
    return np.concatenate((np.asarray(line), below))


def over_time(clip: vs.VideoNode, line: int, columns: slice, height: int) -> Image:
    """One line of every frame, the first frame at the top."""
    lines: Image = np.stack([image(clip, n)[line, columns] for n in range(clip.num_frames)])
    shown: Image = lines[np.arange(height) * clip.num_frames // height]
    return shown


def _slices(animation: Animation, before: tuple[str, vs.VideoNode], after: tuple[str, vs.VideoNode]) -> Image:
    """A frame with a marked line, and what that line shows over time, before and after."""
    line, columns = 100, slice(40, 250)
    first = (np.clip(animation.frame(0).transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)[:, :300]
    first[line - 1 : line + 1, columns] = 255, 0, 0
    parts = [labelled("the first frame", first)]
    parts += [labelled(text, over_time(clip, line, columns, HEIGHT)) for text, clip in (before, after)]
    return row(*parts)


def _clip(animation: Animation) -> vs.VideoNode:
    return drawn(animation.frame, animation.length).clip()


# --- the pictures
# ----------------------------------------------------------------------------------------------------------------------


def mask(model: str) -> Image:
    """Captions over a fast pan."""
    source = overlays.case("mixed", 5, 28).clip.std.SelectEvery(2, 0)
    return stack(
        *(
            labelled(text, image(vsvfi.interpolate(source, model=model, mask=kept), overlays.SHOWN.start + 17)[-90:])
            for text, kept in (("without a mask", None), ('mask="auto"', "auto"))
        )
    )


def tiles(model: str) -> Image:
    """Where two tiles meet, in a pan."""
    made = scene(1, 1024, 512, kind="pan")
    source = drawn(lambda n: made.frame(float(n)), 2).clip()
    halves = [vsvfi.interpolate(source.std.Crop(left=x, right=512 - x), model=model) for x in (0, 512)]
    whole, tiled = (vsvfi.interpolate(source, model=model, tile=tile) for tile in (None, 512))
    shown = slice(192, 832)
    return stack(
        *(
            labelled(text, image(clip, 1)[190:340, shown])
            for text, clip in (
                ("tiles of 512 pixels, each interpolated by itself", vs.core.std.StackHorizontal(halves)),
                ("tile=512", tiled),
                ("the whole picture at once", whole),
            )
        )
    )


def retime(model: str) -> Image:
    """Drawings held for one, two and three frames."""
    animation = KINDS["mixed, in real time"]("mixed, in real time", 1)
    held, even = (vsvfi.interpolate(_clip(animation), model=model, duplicates=way) for way in ("skip", "retime"))
    return _slices(animation, ("before: the line over time", held), ('after: duplicates="retime"', even))


def repair(model: str) -> Image:
    """A recording in which three frames were dropped."""
    animation = FAULTS["dropped, repeated before"]("dropped, repeated before", 1)
    source = _clip(animation)
    repaired = vsvfi.interpolate(source, model=model, multi=1, duplicates="repair")
    return _slices(animation, ("before: the line over time", source), ('after: duplicates="repair"', repaired))


def curve(model: str) -> Image:
    """Slow, fast, and back again."""
    animation = KINDS["on ones"]("on ones", 2)
    source = _clip(animation)
    last, length = source.num_frames - 1, 2 * source.num_frames

    def position(n: int) -> Fraction:
        way: Fraction = 1 - abs(1 - Fraction(2 * n, length - 1))
        place: Fraction = last * way * way * (3 - 2 * way)
        return place

    ramp = vsvfi.interpolate(source, model=model, curve=position)
    return _slices(
        animation,
        ("before: the line over time", vsvfi.interpolate(source, model=model)),
        ("after: curve=position", ramp),
    )


def scene_change(model: str) -> Image:
    """The frames around a cut at four times the rate."""
    clip = demo_clip(160, 90, 24)
    cut = clip.cuts[0]
    source = drawn(lambda n: clip.frame(float(cut - 2 + n)), 4).clip()
    marked = source.std.FrameEval(lambda n: source.std.SetFrameProps(_SceneChangeNext=int(n == 1)))
    ways = {'scene="off"': vsvfi.interpolate(source, model=model, multi=4, scene="off")}
    for way in get_args(CutMode.__value__):
        made = vsvfi.interpolate(marked, model=model, multi=4, scene="props", scene_change=way)
        ways[f'scene_change="{way}"'] = made
    return stack(*(labelled(text, row(*(image(made, n) for n in range(4, 9)))) for text, made in ways.items()))


def exclude(model: str) -> Image:
    """Motion that is too fast for the model."""
    made = scene(5, 256, 144, kind="flat")
    source = drawn(lambda n: made.frame(12.0 * n), 3).clip()
    return stack(
        *(
            labelled(text, row(*(image(vsvfi.interpolate(source, model=model, exclude=ranges), n) for n in range(3))))
            for text, ranges in (("without: frame 0, the frame between, frame 1", None), ('exclude="[0 1]"', "[0 1]"))
        )
    )


def show(model: str) -> Image:
    """A caption over a pan."""
    source = overlays.case("textured", 3, 8).clip.std.SelectEvery(2, 0).std.Crop(left=60, right=100, top=90)
    n = overlays.SHOWN.start + 13
    made, shown = (make(source, model=model, mask="auto") for make in (vsvfi.interpolate, vsvfi.show))
    return row(labelled('interpolate(clip, mask="auto")', image(made, n)), labelled("show(clip, ...)", image(shown, n)))


def shutter(model: str) -> Image:
    """A street at night."""
    source = sample_clip(320, 180, 48)[36:42]
    ways = [("without", None), ("shutter=180", 180), ("shutter=360", 360)]
    return row(
        *(
            labelled(text, image(vsvfi.interpolate(source, model=model, multi=1, shutter=open), 2))
            for text, open in ways
        )
    )


PICTURES: dict[str, Callable[[str], Image]] = {
    make.__name__: make for make in (mask, tiles, retime, repair, scene_change, exclude, show, curve, shutter)
}
"""What draws each picture, by the name of its file."""


@reported("recipes")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m scripts.evaluate.recipes`."""
    from PIL import Image as Pillow

    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate.recipes", description=__doc__)
    parser.add_argument("--model", default="builtin", help="(default: builtin)")
    parser.add_argument("--only", nargs="+", choices=list(PICTURES), default=list(PICTURES), help="(default: all)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the WebP files (default: docs/recipes)")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        path = given.out / f"{name}.webp"
        Pillow.fromarray(PICTURES[name](given.model)).save(path, quality=80, method=6)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
