"""The ways to predict removed frames that a comparison knows: models, and what can be had without a network."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import vapoursynth as vs

from vsvfi.compare.minterpolate import minterpolate
from vsvfi.compare.source import Conversion, Picture, Shelf
from vsvfi.errors import VsvfiError

KEPT = 3
"""Frames of a place that methods are given; those between are predicted."""


class Method(Protocol):
    """Predicts the frames between the kept frames of a place."""

    name: str

    def predict(self, kept: Sequence[vs.VideoFrame]) -> tuple[list[Picture], float]:
        """The frames between, in RGB, each as it looks in the video's own format; and the seconds they took."""


class Model:
    """A model, used as a script uses it: `interpolate()` on the kept frames.

    Args:
        name: see `vsvfi.list_models()`.
        like: a clip of the video's format, size and rate.
        first: kept frames that are there while the graph is built.
        conversion: of the video's format.
        arguments: further ones of `interpolate()`.

    Raises:
        vapoursynth.Error: the model cannot be used here.
    """

    def __init__(
        self,
        name: str,
        like: vs.VideoNode,
        first: Sequence[vs.VideoFrame],
        conversion: Conversion,
        arguments: Mapping[str, Any],
    ) -> None:
        import vsvfi

        self.name = name
        self._places = 0
        self._conversion = conversion
        self._shelf = Shelf(like, 1 << 16)
        self._shelf.put(dict(enumerate(first)))
        self._output = vsvfi.interpolate(
            self._shelf.clip, model=name, **{"multi": 2, "scene": "off", "duplicates": "off", **arguments}
        )

    def predict(self, kept: Sequence[vs.VideoFrame]) -> tuple[list[Picture], float]:
        self._places += 1
        base = self._places * (len(kept) + 16)  # numbers of its own for each place: nothing is left from the last one
        around = {base - n: kept[0] for n in range(1, 7)} | {base + len(kept) + n: kept[-1] for n in range(7)}
        self._shelf.put({**around, **{base + n: frame for n, frame in enumerate(kept)}})
        wanted = [2 * (base + n) + 1 for n in range(len(kept) - 1)]
        made = []
        if self._places == 1:  # compiling and first allocations belong to no frame: the last one alone is timed
            made = [self._output.get_frame(n) for n in wanted[:-1]]
        started = time.perf_counter()
        asked = [self._output.get_frame_async(n) for n in wanted[len(made) :]]
        made += [future.result() for future in asked]
        seconds = (time.perf_counter() - started) * len(wanted) / len(asked)
        pictures = [self._conversion.picture(frame) for frame in made]
        for frame in made:
            frame.close()
        return pictures, seconds


class Plain:
    """A method that works on RGB images: (kept images) -> those between."""

    def __init__(
        self, name: str, conversion: Conversion, between: Callable[[Sequence[Picture]], list[Picture]]
    ) -> None:
        self.name = name
        self._conversion = conversion
        self._between = between

    def predict(self, kept: Sequence[vs.VideoFrame]) -> tuple[list[Picture], float]:
        pictures = [self._conversion.picture(frame) for frame in kept]
        started = time.perf_counter()
        made = self._between(pictures)
        seconds = time.perf_counter() - started
        return [self._conversion.through(picture, kept[0]) for picture in made], seconds


def blend(pictures: Sequence[Picture]) -> list[Picture]:
    """Both neighbours mixed."""
    return [(before + after) * np.float32(0.5) for before, after in zip(pictures, pictures[1:])]  # noqa: RUF007


def block_matching(ffmpeg: str) -> Callable[[Sequence[Picture]], list[Picture]]:
    """ffmpeg's minterpolate with that program."""

    def between(pictures: Sequence[Picture]) -> list[Picture]:
        around = [pictures[0], *pictures, pictures[-1]]  # the filter's search looks at one more frame on either side
        try:
            made = minterpolate(around, 2, ffmpeg=ffmpeg)
        except (OSError, subprocess.CalledProcessError) as error:
            raise VsvfiError(f"ffmpeg's minterpolate failed ({error})") from error
        return made[3 : 3 + 2 * (len(pictures) - 1) : 2]

    return between
