"""Methods that predict removed frames in a comparison: models, and baselines without a network."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import vapoursynth as vs

from vsvfi.compare.minterpolate import minterpolate
from vsvfi.compare.source import Conversion, Image, Shelf
from vsvfi.errors import VsvfiError

KEPT = 3
"""Frames of a place that are passed to the methods; those between are predicted."""


class Method(Protocol):
    """Predicts the frames between the kept frames of a place."""

    name: str

    def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
        """Return the frames between in RGB, after conversion to the video's format and back, and their seconds.

        Args:
            kept: the frames around them.
            until: when they are no longer wanted, by `time.monotonic()`.

        Raises:
            TimeoutError: they were not finished by then.
        """


class Model:
    """A model, applied as in a script: `interpolate()` on the kept frames.

    Args:
        name: see `vsvfi.list_models()`.
        like: a clip of the video's format, size and rate.
        first: kept frames that the clip has while the graph is built.
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

    def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
        self._places += 1
        base = self._places * (len(kept) + 16)  # new frame numbers for each place, so that nothing is cached
        around = {base - n: kept[0] for n in range(1, 7)} | {base + len(kept) + n: kept[-1] for n in range(7)}
        self._shelf.put({**around, **{base + n: frame for n, frame in enumerate(kept)}})
        wanted = [2 * (base + n) + 1 for n in range(len(kept) - 1)]
        made: list[vs.VideoFrame] = []
        if self._places == 1:  # only the last one is timed, without compilation and first allocations
            for n in wanted[:-1]:
                made.append(self._output.get_frame(n))
        started = time.perf_counter()
        asked = wanted[len(made) :]
        made += [future.result() for future in [self._output.get_frame_async(n) for n in asked]]
        seconds = (time.perf_counter() - started) * len(wanted) / len(asked)
        images = [self._conversion.image(frame) for frame in made]
        for frame in made:
            frame.close()
        return images, seconds


class Plain:
    """A method that works on RGB images: (kept images) -> those between."""

    def __init__(self, name: str, conversion: Conversion, between: Callable[[Sequence[Image]], list[Image]]) -> None:
        self.name = name
        self._conversion = conversion
        self._between = between

    def predict(self, kept: Sequence[vs.VideoFrame], until: float) -> tuple[list[Image], float]:
        images = [self._conversion.image(frame) for frame in kept]
        started = time.perf_counter()
        made = self._between(images)
        seconds = time.perf_counter() - started
        return [self._conversion.through(image, kept[0]) for image in made], seconds


def blend(images: Sequence[Image]) -> list[Image]:
    """Blend both neighbours."""
    return [(before + after) * np.float32(0.5) for before, after in zip(images, images[1:])]  # noqa: RUF007


def block_matching(ffmpeg: str, until: float) -> Callable[[Sequence[Image]], list[Image]]:
    """Return ffmpeg's minterpolate as a method, which is stopped at the deadline `until`."""

    def between(images: Sequence[Image]) -> list[Image]:
        around = [images[0], *images, images[-1]]  # the filter's motion search uses one more frame on either side
        try:
            made = minterpolate(around, 2, ffmpeg=ffmpeg, seconds=max(until - time.monotonic(), 0))
        except subprocess.TimeoutExpired as error:
            raise TimeoutError from error
        except (OSError, subprocess.CalledProcessError) as error:
            raise VsvfiError(f"ffmpeg's minterpolate failed ({error})") from error
        return made[3 : 3 + 2 * (len(images) - 1) : 2]

    return between
