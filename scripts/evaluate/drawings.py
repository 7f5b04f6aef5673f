"""Measure on real encodes how often repeated and dropped frames of animation are judged right, and which copy is best.

    python -m scripts.evaluate.drawings [--seeds 3 4] [--encoders "x264 crf 23"]
    python -m scripts.evaluate.drawings --copies

The clips are those of `vsvfi.synthetic.drawings`, encoded by ffmpeg. The first form prints for each kind how many steps
from frame to frame are rightly judged to be a repeat or not, the repeated frames that `duplicates=` finds and those it
finds wrongly, the dropped frames that `duplicates="repair"` fills and the frames it changes wrongly. The second
compares rules for the copy that stands for a held drawing: PSNR of luma below that of the best copy, in dB, over
drawings whose copies differ. Prints Markdown; the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from scripts.evaluate.encodes import ENCODERS, Frames, drawn, encoded
from scripts.reported import reported
from vsvfi.clip import scenes
from vsvfi.plan.policy import Facts, Policy
from vsvfi.plan.timeline import Copy, Timeline
from vsvfi.synthetic.drawings import FAULTS, KINDS, Animation, animations

type Luma = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is found in a clip.

    Attributes:
        repeats: every k whose frame k + 1 is taken for a repeat of frame k.
        repaired: output frames of `multi=1, duplicates="repair"` that are not the source's.
    """

    repeats: frozenset[int]
    repaired: frozenset[int]


def judged(frames: Frames) -> Judged:
    """Judge a clip as `interpolate()` does."""
    facts = [
        scenes.read(frame)
        for frame in scenes.facts(frames.clip(), scene="auto", threshold=None, measure="apart").frames(close=True)
    ]
    timeline, policy = Timeline(Fraction(1), len(facts), Fraction(24)), Policy(duplicates="repair")

    def at(k: int) -> Facts:
        return facts[k] if 0 <= k < len(facts) else Facts()

    changed = {n for n in range(len(facts)) if policy.decide(timeline, n, at) != Copy(n)}
    return Judged(frozenset(k for k, fact in enumerate(facts) if fact.duplicate), frozenset(changed))


def table(seeds: Sequence[int], encoders: Sequence[str]) -> tuple[str, dict[str, list[int]]]:
    """Judge every clip; returns Markdown and the counts of each kind."""
    lines = [
        "| kind | steps | judged right | repeats | found | false | dropped | filled | wrongly changed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * 7)
    for seed in seeds:
        for animation in animations(seed):
            source = drawn(animation.frame, animation.length)
            for encoder in encoders:
                found, true = judged(encoded(source, encoder)), frozenset(animation.fixes)
                measured = (
                    *(animation.length - 1, len(animation.repeats), len(found.repeats & animation.repeats)),
                    *(len(found.repeats - animation.repeats), len(true)),
                    *(len(found.repaired & true), len(found.repaired - true)),
                )
                counts[animation.kind] = [a + b for a, b in zip(counts[animation.kind], measured, strict=True)]
            print(f"seed {seed}, {animation.kind}: {counts[animation.kind]}", file=sys.stderr)
    for kind in {**KINDS, **FAULTS}:
        lines.append(f"| {' | '.join((kind, *cells(counts[kind])))} |")
    return "\n".join(lines), dict(counts)


def cells(counts: Sequence[int]) -> tuple[str, ...]:
    """The cells of a kind: its counts, and the share of its steps that are judged right."""
    steps, repeats, found, false, *others = counts
    right = (steps - (repeats - found) - false) / max(steps, 1)
    return str(steps), f"{100 * right:.1f} %", *map(str, (repeats, found, false, *others))


# --- copies of a drawing
# ----------------------------------------------------------------------------------------------------------------------


def blockiness(luma: Luma) -> float:
    """How much stronger gradients are across the borders of 8x8 blocks than elsewhere."""
    total = 0.0
    for image in (luma, luma.T):
        steps = np.abs(np.diff(image, axis=1)).mean(0)
        border = np.arange(steps.size) % 8 == 7
        total += float(steps[border].mean() - steps[~border].mean())
    return total


def detail(luma: Luma) -> float:
    """Mean squared gradient."""
    return float((np.diff(luma, axis=0) ** 2).mean() + (np.diff(luma, axis=1) ** 2).mean())


RULES: dict[str, Callable[[list[Luma]], int]] = {
    "first": lambda copies: 0,
    "last": lambda copies: len(copies) - 1,
    "nearest to the mean": lambda copies: int(np.argmin([((one - np.mean(copies, 0)) ** 2).mean() for one in copies])),
    "most detail": lambda copies: int(np.argmax([detail(one) for one in copies])),
    "least blockiness": lambda copies: int(np.argmin([blockiness(one) for one in copies])),
}


def held(animation: Animation) -> Iterator[range]:
    """The frames of each drawing that is held."""
    start = 0
    for k in range(animation.length):
        if k not in animation.repeats:
            if k > start:
                yield range(start, k + 1)
            start = k + 1


def losses(seeds: Sequence[int], encoder: str) -> dict[str, list[float]]:
    """PSNR in dB below the best copy, for each rule and drawing whose copies differ; and of the worst copy."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        for animation in animations(seed, tuple(KINDS)):
            if not animation.repeats:
                continue
            source = drawn(animation.frame, animation.length)
            result = encoded(source, encoder)
            for frames in held(animation):
                copies = [result.planes[k][0].astype(np.float64) for k in frames]
                truth = source.planes[frames.start][0].astype(np.float64)
                scores = [-10 * np.log10(((copy - truth) ** 2).mean() + 1e-3) for copy in copies]
                if max(scores) > min(scores):
                    for name, rule in RULES.items():
                        found[name].append(float(max(scores) - scores[rule(copies)]))
                    found["worst"].append(float(max(scores) - min(scores)))
    return found


def copies_table(seeds: Sequence[int], encoders: Sequence[str]) -> tuple[str, dict[str, dict[str, float]]]:
    """Compare the rules; returns Markdown and the mean losses by encoder."""
    names = [*RULES, "worst"]
    lines = [f"| encoder | drawings | {' | '.join(names)} |", "|---|---:|" + "---:|" * len(names)]
    means = {}
    for encoder in encoders:
        found = losses(seeds, encoder)
        means[encoder] = {name: round(float(np.mean(found[name])), 3) if found[name] else 0.0 for name in names}
        cells = [f"{means[encoder][name]:.3f}" for name in names]
        lines.append(f"| {encoder} | {len(found['worst'])} | {' | '.join(cells)} |")
    return "\n".join(lines), means


@reported("drawings")
def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m scripts.evaluate.drawings`."""
    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate.drawings", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4], help="seeds of the clips (default: held out)")
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=list(ENCODERS), help="(default: all)")
    parser.add_argument("--copies", action="store_true", help="compare rules for the copy that stands for a drawing")
    given = parser.parse_args(arguments)
    if given.copies:
        shown, numbers = copies_table(given.seeds, [encoder for encoder in given.encoders if ENCODERS[encoder]])
        print(shown)
        print(json.dumps({"seeds": given.seeds, "losses": numbers}))
        return 0
    shown, counts = table(given.seeds, given.encoders)
    print(shown)
    print(json.dumps({"seeds": given.seeds, "encoders": given.encoders, "counts": counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
