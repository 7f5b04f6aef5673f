"""The result of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import sqrt
from statistics import fmean, median, stdev
from typing import Any

_TELLING = 6
"""Least number of frames for which a difference may be significant."""


@dataclass(frozen=True, slots=True)
class Shot:
    """The images of one predicted frame, as WebP files.

    Attributes:
        place: index of the place.
        frame: number of the frame in the video.
        shown: name -> image: "truth", "before", "after" and each method.
        errors: method -> its error as colours.
    """

    place: int
    frame: int
    shown: dict[str, bytes]
    errors: dict[str, bytes]


@dataclass(slots=True)
class Tally:
    """The results of one method.

    Attributes:
        name: of the method.
        model: whether it is a model of vsvfi.
        scores: name of a score -> frame number -> value.
        flicker: of each place, in 1/255.
        seconds: per predicted frame, of each place.
    """

    name: str
    model: bool
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    flicker: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def mean(self, score: str) -> float:
        return fmean(self.scores[score].values())

    @property
    def seconds_per_frame(self) -> float:
        """The first place is left out where there are more: loading and compiling count there."""
        return median(self.seconds[1:] or self.seconds)

    @property
    def worst(self) -> int:
        """The frame of the lowest PSNR."""
        return min(self.scores["psnr"], key=lambda frame: self.scores["psnr"][frame])


@dataclass(slots=True)
class Result:
    """A comparison.

    Attributes:
        video: name of the file.
        size: width and height.
        frames: of the whole video.
        rate: its frames per second, the mean if it varies.
        factor: output frames per source frame in the estimated costs.
        device: where the models ran, for messages.
        places: frame numbers of each place that every method predicted.
        tallies: the methods.
        hours: method -> hours for the whole video.
        left_out: method -> why it has no figures.
        shots: images.
        complete: it was not stopped early.
        times: when each frame begins, in seconds; empty at a constant rate.
    """

    video: str
    size: tuple[int, int]
    frames: int
    rate: Fraction
    factor: Fraction
    device: str
    places: list[tuple[int, ...]] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    hours: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    shots: list[Shot] = field(default_factory=list)
    complete: bool = True
    times: Sequence[Fraction] = ()

    def time_of(self, frame: int) -> Fraction:
        """Return when a frame is shown, in seconds from the first."""
        return self.times[frame] - self.times[0] if self.times else frame / self.rate

    @property
    def ranked(self) -> list[Tally]:
        """Return the methods, highest PSNR first."""
        return sorted((tally for tally in self.tallies if tally.seconds), key=lambda tally: -tally.mean("psnr"))

    def verdict(self) -> list[str]:
        """Describe the best method and its cost in sentences."""
        ranked = self.ranked
        if not ranked:
            return ["Nothing was compared."]
        best = ranked[0]
        lines = [f"{best.name} is nearest to the true frames: {best.mean('psnr'):.2f} dB on average."]
        lines += self._ties(ranked)
        models = [tally for tally in ranked if tally.model]
        if models and models[0] is not best:
            lines.append(f"The best model is {models[0].name} with {models[0].mean('psnr'):.2f} dB.")
        for score, name, better in (("ssim", "SSIM", max), ("lpips", "LPIPS", min)):
            known = [tally for tally in ranked if score in tally.scores]
            if known and (first := better(known, key=lambda tally: tally.mean(score))) is not best:
                lines.append(f"By {name} it is {first.name}.")
        wanted = float(self.rate * self.factor)
        for tally in models[:1]:
            lines.append(
                f"{tally.name} takes {duration(tally.seconds_per_frame)} per new frame here, "
                f"{duration(3600 * self.hours[tally.name])} for the whole video at {wanted:.6g} frames per second."
            )
            faster = [other for other in models[1:] if other.seconds_per_frame < 0.5 * tally.seconds_per_frame]
            if faster:
                lines.append(
                    f"{faster[0].name} is {tally.seconds_per_frame / faster[0].seconds_per_frame:.1f} times as fast "
                    f"and {tally.mean('psnr') - faster[0].mean('psnr'):.2f} dB lower."
                )
        return lines

    def _ties(self, ranked: Sequence[Tally]) -> list[str]:
        """Say which methods do not differ significantly from the best one with so few frames."""
        best = ranked[0].scores["psnr"]
        level = []
        for other in ranked[1:]:
            gaps = [best[frame] - value for frame, value in other.scores["psnr"].items()]
            if len(gaps) < _TELLING or fmean(gaps) < 2 * stdev(gaps) / sqrt(len(gaps)):
                level.append(other.name)
        return [f"On these few frames {_listed(level)} cannot be told from it with confidence."] if level else []

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "video": self.video,
            "size": list(self.size),
            "frames": self.frames,
            "rate": str(self.rate),
            "wanted_rate": str(self.rate * self.factor),
            "device": self.device,
            "complete": self.complete,
            "best": self.ranked[0].name if self.ranked else None,
            "places": [list(place) for place in self.places],
            "methods": [self._row(tally) for tally in self.ranked],
            "left_out": self.left_out,
        }

    def _row(self, tally: Tally) -> dict[str, Any]:
        return {
            "name": tally.name,
            "model": tally.model,
            **{score: round(tally.mean(score), 5) for score in tally.scores},
            "worst_psnr": round(tally.scores["psnr"][tally.worst], 3),
            "worst_frame": tally.worst,
            "flicker": round(fmean(tally.flicker), 4),
            "seconds_per_frame": round(tally.seconds_per_frame, 5),
            "hours": round(self.hours[tally.name], 4) if tally.name in self.hours else None,
            "by_frame": {
                str(frame): {score: round(values[frame], 5) for score, values in tally.scores.items()}
                for frame in tally.scores["psnr"]
            },
        }


def duration(seconds: float) -> str:
    """Format seconds as text."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    if seconds >= 1:
        return f"{seconds:.1f} seconds"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
