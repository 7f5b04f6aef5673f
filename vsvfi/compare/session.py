"""Run a comparison: every method at each place, within a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import vapoursynth as vs

from vsvfi.compare.images import heat, webp
from vsvfi.compare.methods import KEPT, Method, unfinished
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


class Comparison:
    """Compares methods at places.

    Args:
        source: the video.
        conversion: of its format.
        makers: method -> how to make it; those of models are named in `models`.
        models: which of them are models of vsvfi.
        scores: what predictions are scored with.
        result: filled in one whole place at a time, so that it is valid after an interrupt.
        until: the deadline, by `time.monotonic()`.
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
        until: float,
        report: Callable[[str, float], None],
    ) -> None:
        self._source, self._conversion, self._makers, self._models = source, conversion, dict(makers), models
        self._scores, self._result, self._until, self._report = scores, result, until, report
        self._methods: dict[str, Method] = {}
        self._tallies: dict[str, Tally] = {}
        self._beside = 0.0
        """Seconds that a place takes without the methods: reading, scores, images."""

    def run(self, places: Sequence[Place]) -> None:
        """Compare at as many places as the time allows, but at least at one."""
        for index, place in enumerate(places):
            now = time.monotonic()
            if index:
                self._drop_slow(index, len(places), self._until - now)
                if now + self._place_cost() > self._until:
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
        frames = self._source.frames(place.frames)
        kept, wanted = [frames[n] for n in place.frames[::2]], place.frames[1::2]
        truths = [self._conversion.image(frames[n]).clip(0, 1) for n in wanted]
        made: dict[str, list[Image]] = {}
        found: dict[str, tuple[float, dict[str, list[float]], float]] = {}
        try:
            for number, name in enumerate(list(self._makers)):
                self._report(f"place {index + 1} of {count}, {name}", (index + number / len(self._makers)) / count)
                if index == 0 and found and time.monotonic() > self._until:
                    self._leave_out(name, "no time was left for it; use more --minutes")
                    continue
                started = time.monotonic()
                try:
                    if name not in self._methods:
                        self._methods[name] = self._makers[name](kept)
                    images, seconds = self._methods[name].predict(kept, self._until)
                except TimeoutError:
                    if index:
                        raise
                    waited = duration(time.monotonic() - started)
                    self._leave_out(name, f"too slow for the time given, not done after {waited}; use more --minutes")
                    continue
                except (VsvfiError, vs.Error, MemoryError) as error:
                    reason = " ".join(str(error).split()).removeprefix("interpolate: ") or "out of memory"
                    self._leave_out(name, for_command(reason, weights="", model=""))
                    continue
                finally:
                    asked += time.monotonic() - started
                made[name] = [image.clip(0, 1) for image in images]
                scores = {
                    score: [measure(image, truth) for image, truth in zip(made[name], truths, strict=True)]
                    for score, measure in self._scores.items()
                }
                found[name] = seconds / len(wanted), scores, _flicker(made[name], truths)
        except KeyboardInterrupt:
            if index == 0 and found:
                for name in self._makers.keys() - found.keys():
                    self._leave_out(name, "stopped before it was done")
                self._keep(index, place, found, self._shot(index, place, made, truths, found, kept))
            raise
        if found:
            self._keep(index, place, found, self._shot(index, place, made, truths, found, kept))
        if not unfinished():  # else the frames are still read
            for frame in frames.values():
                frame.close()
        self._beside = time.monotonic() - began - asked

    def _keep(
        self,
        index: int,
        place: Place,
        found: Mapping[str, tuple[float, dict[str, list[float]], float]],
        shot: Shot,
    ) -> None:
        for name, (seconds, scores, flicker) in found.items():
            tally = self._tallies.setdefault(name, Tally(name, name in self._models))
            tally.seconds.append(seconds)
            tally.flicker.append(flicker)
            for score, values in scores.items():
                tally.scores.setdefault(score, {}).update(zip(place.frames[1::2], values, strict=True))
        self._result.places.append(place.frames)
        self._result.shots.append(shot)
        self._result.tallies = list(self._tallies.values())

    def _shot(
        self,
        index: int,
        place: Place,
        made: Mapping[str, Sequence[Image]],
        truths: Sequence[Image],
        found: Mapping[str, tuple[float, dict[str, list[float]], float]],
        kept: Sequence[vs.VideoFrame],
    ) -> Shot:
        """Images of the frame that methods differ most in."""

        def spread(which: int) -> float:
            values = [scores["psnr"][which] for _, scores, _ in found.values()]
            return max(values) - min(values) - 0.1 * sum(values) / len(values)

        which = max(range(len(truths)), key=spread)
        ends = {
            name: self._conversion.image(frame) for name, frame in (("before", kept[which]), ("after", kept[which + 1]))
        }
        shown = {"truth": truths[which], **ends, **{name: images[which] for name, images in made.items()}}
        return Shot(
            index,
            place.frames[2 * which + 1],
            {name: webp(image) for name, image in shown.items()},
            {name: webp(heat(images[which], truths[which]), longest=960) for name, images in made.items()},
        )

    def _drop_slow(self, done: int, wanted: int, left: float) -> None:
        """Leave out the slowest model while there would be too few places with it."""
        missing = min(FEWEST, wanted) - done
        while missing > 0 and self._place_cost() * missing > max(left, 0):
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


def _flicker(made: Sequence[Image], truths: Sequence[Image]) -> float:
    """Mean error of the change from one predicted frame to the next, in 1/255.

    A constant error does not flicker.
    """
    errors = [image - truth for image, truth in zip(made, truths, strict=True)]
    changes = [np.abs(after - before).mean() for before, after in zip(errors, errors[1:])]  # noqa: RUF007
    return 255 * float(np.mean(changes)) if changes else 0.0
