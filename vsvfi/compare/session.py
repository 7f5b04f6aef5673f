"""Run a comparison: every method at each place, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import vapoursynth as vs

from vsvfi.compare.deadline import Deadline
from vsvfi.compare.images import heat, webp
from vsvfi.compare.methods import KEPT, Method
from vsvfi.compare.places import Place
from vsvfi.compare.result import Result, Shot, Tally, duration
from vsvfi.compare.source import Conversion, Image, Source
from vsvfi.errors import VsvfiError, for_command

type Maker = Callable[[Sequence[vs.VideoFrame]], Method]
"""Makes a method, given the kept frames of the first place."""

type Scores = Mapping[str, Callable[[Image, Image], float]]
"""Name -> (prediction, truth) -> value."""

FEWEST = 4
"""Number of places that slow models must leave time for."""

_MATTERS = 1 / 3
"""Least share of the time for which a model may be left out."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A place's frames.

    Attributes:
        frames: all of them.
        kept: those that methods get.
        around: the same as images.
        wanted: numbers of the removed frames.
        truths: the same as images in [0, 1].
    """

    frames: Sequence[vs.VideoFrame]
    kept: Sequence[vs.VideoFrame]
    around: Sequence[Image]
    wanted: Sequence[int]
    truths: Sequence[Image]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A method's predictions at a place, seconds per frame, score -> value of each frame, and flicker."""

    images: Sequence[Image]
    seconds: float
    scores: Mapping[str, Sequence[float]]
    flicker: float


class Comparison:
    """Compares methods at places.

    Args:
        source: the video.
        conversion: of its format.
        makers: method -> how to make it; those of models are named in `models`.
        models: which of them are models of vsvfi.
        scores: what predictions are scored with.
        result: filled in one whole place at a time, so that it is valid after an interrupt.
        deadline: ends the comparison.
        report: called with the current step and the completed share of the work, 0 to 1.
    """

    def __init__(
        self,
        source: Source,
        conversion: Conversion,
        makers: Mapping[str, Maker],
        models: frozenset[str],
        scores: Scores,
        result: Result,
        deadline: Deadline,
        report: Callable[[str, float], None],
    ) -> None:
        self._source, self._conversion, self._makers, self._models = source, conversion, dict(makers), models
        self._scores, self._result, self._deadline, self._report = scores, result, deadline, report
        self._methods: dict[str, Method] = {}
        self._tallies: dict[str, Tally] = {}
        self._beside = 0.0
        """Seconds that a place takes without the methods: reading, scores, images."""

    def run(self, places: Sequence[Place]) -> None:
        """Compare at as many places as the time allows."""
        for index, place in enumerate(places):
            if index:
                self._drop_slow(index, len(places))
                if self._place_cost() > self._deadline.left:
                    return
            try:
                self._compare(index, len(places), place)
            except TimeoutError:
                return
            if not self._makers:
                return

    def _compare(self, index: int, count: int, place: Place) -> None:
        """Compare at one place, which counts only if all methods completed it.

        At the first place methods that do not complete it in time, or before an interrupt, are left out.

        Raises:
            TimeoutError: a method is still running at the deadline, at a later place.
        """
        began, asked = time.monotonic(), 0.0
        read: _Read | None = None
        found: dict[str, _Answer] = {}
        try:
            for number, name in enumerate(list(self._makers)):
                self._report(f"place {index + 1} of {count}, {name}", (index + number / len(self._makers)) / count)
                if index == 0 and not self._deadline.left:
                    self._leave_out(name, "no time was left for it; use more --minutes")
                    continue
                started = time.monotonic()
                try:
                    if read is None:
                        read = self._deadline.call(lambda: self._read(place))
                    images, seconds = self._predict(name, read.kept)
                    asked += time.monotonic() - started
                    found[name] = self._score(images, read.truths, seconds)
                except TimeoutError:
                    if index:
                        raise
                    waited = duration(time.monotonic() - started)
                    self._leave_out(name, f"too slow for the time given, not done after {waited}; use more --minutes")
                except (VsvfiError, vs.Error, MemoryError) as error:
                    asked += time.monotonic() - started
                    reason = " ".join(str(error).split()).removeprefix("interpolate: ") or "out of memory"
                    self._leave_out(name, for_command(reason, weights="", model=""))
        except KeyboardInterrupt:
            if index == 0 and found and read is not None:
                for name in self._makers.keys() - found.keys():
                    self._leave_out(name, "stopped before it was done")
                self._keep(index, place, read, found)
            raise
        if found and read is not None:
            self._keep(index, place, read, found)
        if read is not None and not self._deadline.busy:  # else the frames are still read
            for frame in read.frames:
                frame.close()
        self._beside = time.monotonic() - began - asked

    def _read(self, place: Place) -> _Read:
        frames = self._source.frames(place.frames)
        kept, wanted = [frames[n] for n in place.frames[::2]], place.frames[1::2]
        images = {n: self._conversion.image(frame) for n, frame in frames.items()}
        return _Read(
            tuple(frames.values()),
            kept,
            [images[n] for n in place.frames[::2]],
            wanted,
            [images[n].clip(0, 1) for n in wanted],
        )

    def _predict(self, name: str, kept: Sequence[vs.VideoFrame]) -> tuple[list[Image], float]:
        """Return a method's predictions and its seconds; it is made at the first place."""

        def call() -> tuple[list[Image], float]:
            if name not in self._methods:
                self._methods[name] = self._makers[name](kept)
            return self._methods[name].predict(kept, self._deadline.until)

        return self._deadline.call(call)

    def _score(self, images: Sequence[Image], truths: Sequence[Image], seconds: float) -> _Answer:
        def call() -> _Answer:
            made = [image.clip(0, 1) for image in images]
            scores = {
                score: [measure(image, truth) for image, truth in zip(made, truths, strict=True)]
                for score, measure in self._scores.items()
            }
            return _Answer(made, seconds / len(truths), scores, _flicker(made, truths))

        return self._deadline.call(call)

    def _keep(self, index: int, place: Place, read: _Read, found: Mapping[str, _Answer]) -> None:
        """Add a place to the result."""
        shot = _shot(index, read, found)
        for name, answer in found.items():
            tally = self._tallies.setdefault(name, Tally(name, name in self._models))
            tally.seconds.append(answer.seconds)
            tally.flicker.append(answer.flicker)
            for score, values in answer.scores.items():
                tally.scores.setdefault(score, {}).update(zip(read.wanted, values, strict=True))
        self._result.places.append(place.frames)
        self._result.shots.append(shot)
        self._result.tallies = list(self._tallies.values())

    def _drop_slow(self, done: int, wanted: int) -> None:
        """Leave out the slowest model while there would be too few places with it."""
        missing = min(FEWEST, wanted) - done
        while missing > 0 and self._place_cost() * missing > self._deadline.left:
            models = [name for name in self._tallies if name in self._models]
            if len(models) < 2:
                return
            slowest = max(models, key=lambda name: self._tallies[name].seconds_per_frame)
            if (KEPT - 1) * self._tallies[slowest].seconds_per_frame < _MATTERS * self._place_cost():
                return  # accept fewer places: without this model there would be hardly more
            each = duration(self._tallies[slowest].seconds_per_frame)
            self._leave_out(slowest, f"too slow for the time given, {each} per new frame; use more --minutes")

    def _place_cost(self) -> float:
        """Estimate the seconds for another place."""
        return (KEPT - 1) * sum(tally.seconds_per_frame for tally in self._tallies.values()) + self._beside

    def _leave_out(self, name: str, reason: str) -> None:
        self._result.left_out[name] = reason
        self._makers.pop(name)
        self._methods.pop(name, None)
        self._tallies.pop(name, None)
        self._result.tallies = list(self._tallies.values())
        for shot in self._result.shots:
            shot.shown.pop(name, None)
            shot.errors.pop(name, None)


def _shot(index: int, read: _Read, found: Mapping[str, _Answer]) -> Shot:
    """Images of the frame that methods differ most in."""

    def spread(which: int) -> float:
        values = [answer.scores["psnr"][which] for answer in found.values()]
        return max(values) - min(values) - 0.1 * sum(values) / len(values)

    which = max(range(len(read.truths)), key=spread)
    truth = read.truths[which]
    made = {name: answer.images[which] for name, answer in found.items()}
    shown = {"truth": truth, "before": read.around[which], "after": read.around[which + 1], **made}
    return Shot(
        index,
        read.wanted[which],
        {name: webp(image) for name, image in shown.items()},
        {name: webp(heat(image, truth), longest=960) for name, image in made.items()},
    )


def _flicker(made: Sequence[Image], truths: Sequence[Image]) -> float:
    """Mean error of the change from one predicted frame to the next, in 1/255.

    A constant error does not flicker.
    """
    errors = [image - truth for image, truth in zip(made, truths, strict=True)]
    changes = [np.abs(after - before).mean() for before, after in zip(errors, errors[1:])]  # noqa: RUF007
    return 255 * float(np.mean(changes)) if changes else 0.0
