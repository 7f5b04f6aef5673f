"""Report a render: progress while it runs, a summary at its end."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from vsvfi.cli.chain import Outcome, Report
from vsvfi.cli.console import say
from vsvfi.media.encoding import Facts


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


def summarise(output: str, model: str, encoder: str, facts: Facts, outcome: Outcome) -> Summary:
    """Build the summary from the facts and times of a finished chain."""
    return Summary(
        output=output,
        model=model,
        device=facts.device,
        encoder=encoder,
        source_frames=facts.source_frames,
        source_rate=str(facts.source_rate),
        frames=outcome.frames,
        rate=str(facts.rate),
        seconds=round(outcome.total, 2),
        frames_per_second=round(outcome.frames / max(outcome.running, 1e-6), 2),
    )


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
