"""Report a render: progress while it runs, a summary at its end."""

from __future__ import annotations

import math
import sys
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from vsvfi.cli.chain import Outcome, Report
from vsvfi.cli.console import say
from vsvfi.media.encoding import Facts, Part


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a render."""

    output: str
    model: str
    device: str
    encoder: str
    source_frames: int
    source_rate: str
    frames: int
    rate: str
    seconds: float
    frames_per_second: float


def summarise(
    output: str,
    model: str,
    encoder: str,
    facts: Facts,
    outcome: Outcome,
    part: Part,
    times: Sequence[Fraction] = (),
) -> Summary:
    """Build the summary of a finished chain.

    Args:
        output, model, encoder: their names.
        facts: of the clip.
        outcome: of the chain.
        part: the output frames that were rendered.
        times: start of each source frame in seconds, and the end of the last, where the output has a constant rate and
            the source has none.
    """
    return Summary(
        output=output,
        model=model,
        device=facts.device,
        encoder=encoder,
        source_frames=_shown(facts, part, times),
        source_rate=str(facts.source_rate),
        frames=outcome.frames,
        rate=str(facts.rate),
        seconds=round(outcome.total, 2),
        frames_per_second=round(outcome.frames / max(outcome.running, 1e-6), 2),
    )


def _shown(facts: Facts, part: Part, times: Sequence[Fraction]) -> int:
    """Return how many source frames are shown during a part of the output."""
    if part.whole(facts.frames):
        return facts.source_frames
    begin, end = (Fraction(n) / facts.rate for n in (part.first, part.first + part.count(facts.frames)))
    if times:
        starts = [time - times[0] for time in times[:-1]]
        return bisect_left(starts, end) - bisect_right(starts, begin) + 1
    first = math.floor(begin * facts.source_rate)
    return max(min(math.ceil(end * facts.source_rate), facts.source_frames) - first, 1)


def describe(summary: Summary) -> str:
    """Format the summary as text."""
    return (
        f"{summary.output}: {summary.source_frames} frames at {summary.source_rate} fps in, "
        f"{summary.frames} frames at {summary.rate} fps out, "
        f"{summary.seconds:.1f} s ({summary.frames_per_second:.2f} frames/s), "
        f"{summary.model} on {summary.device}, {summary.encoder}"
    )


def progress_line() -> Report:
    """Return a reporter that updates one line on a terminal, and prints one every ten seconds elsewhere."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    started = last = time.monotonic()

    def report(done: int, frames: int, rate: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.2 if terminal else 10) and done < frames:
            return
        last = now
        speed = rate or done / max(now - started, 1e-6)
        left = (frames - done) / speed if speed else 0
        text = f"frame {done}/{frames}, {speed:.2f} frames/s, {left:.0f} s left"
        if terminal:
            say(f"\r{text:<60}", end="" if done < frames else "\n")
        else:
            say(text)

    return report
