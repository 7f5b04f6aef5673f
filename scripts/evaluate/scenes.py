"""Evaluate the scene change detection of `vsvfi.clip.scenes` on look-alikes of scene changes.

    python -m scripts.evaluate.scenes [--seeds 16 17] [--others]

Renders the clips of `vsvfi.synthetic.cuts`, and compares with a plain threshold on the difference of neighbouring
frames, as in misc.SCDetect, and with `--others` with the detectors of `scene_detectors` that are installed. Prints a
Markdown table; the last line is JSON. Seeds 0 to 11 were used for tuning, of gunfire and of whip pans after cuts those
up to 15.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
import vapoursynth as vs

from scripts.evaluate.scene_detectors import Detector, installed
from vsvfi.clip import scenes
from vsvfi.synthetic.cuts import KINDS, CutClip, cases, evaluation_clips

METHODS = ("vsvfi", "difference > 0.10", "difference > 0.15")

CLASSES: dict[str, tuple[str, ...]] = {
    "cuts": ("cut", "cut, still images", "hard-cuts-", "cuts-static"),
    "cuts between similar scenes": ("cut, same", "cuts-similar", "cuts-very-similar", "cut-to-closer"),
    "cuts amid fast motion": ("cut, action", "cuts-during-pan"),
    "cuts of scenes of 1 to 8 frames": ("cut, short", "short-shots"),
    "cuts in the dark": ("cut, dark", "cuts-dark"),
    "cuts in animation": ("cut, pale", "cut, animation", "cuts-held"),
    "cuts, black bars": ("cut, letterbox",),
    "cuts, heavy grain": ("cut, heavy",),
    "cuts to and from black": ("cut, to and from black", "cut-to-black"),
    "cuts beside flashes": ("cut, with a flash", "flash-and-cut"),
    "cuts amid gunfire": ("cut, amid gunfire",),
    "cuts before whip pans": ("cut, then a whip",),
    "flashes": ("flash", "white frame", "black frame"),
    "gunfire": ("gunfire",),
    "strobe, flicker": ("strobe", "flicker"),
    "fades": ("fade",),
    "dissolves, wipes": ("dissolve", "wipe"),
    "exposure changes": ("exposure",),
    "pans": ("pan",),
    "whip pans": ("whip",),
    "fast foreground, explosions": ("fast foreground", "object-rushes", "explosion"),
    "zoom, shaking camera": ("zoom", "shaking"),
    "animation on twos and threes": ("animation", "held-on"),
    "credits, subtitles": ("credits", "subtitles"),
    "water": ("water",),
    "dark, grain": ("dark", "heavy grain", "bright-with-grain"),
    "still": ("static", "black"),
}


def class_of(kind: str) -> str:
    """Return the class with the longest matching prefix."""
    fitting = [
        (len(start), name)
        for name, starts in CLASSES.items()
        for start in starts
        if kind == start or (kind.startswith(start) and start != "cut")
    ]
    return max(fitting)[1]


def clip_of(case: CutClip, format: int = vs.YUV420P8) -> vs.VideoNode:
    """Convert images to a clip."""
    _, height, width = case.frame(0).shape
    blank = vs.core.std.BlankClip(width=width, height=height, format=vs.RGB24, length=case.length, keep=True)

    def paint(n: int, f: vs.VideoFrame | list[vs.VideoFrame]) -> vs.VideoFrame:
        assert isinstance(f, vs.VideoFrame)
        out, image = f.copy(), case.frame(n)
        for plane in range(3):
            np.asarray(out[plane])[:] = np.rint(image[plane] * 255)
        return out

    return blank.std.ModifyFrame(blank, paint).resize.Bicubic(format=format, matrix=vs.MATRIX_BT709)


def found_by(
    clip: vs.VideoNode, threshold: float | None = None, others: Mapping[str, Detector] | None = None
) -> dict[str, set[int]]:
    """Return the first frames of scenes detected by each method."""
    found: dict[str, set[int]] = {method: set() for method in METHODS}
    plain = clip.std.PlaneStats(clip.std.Trim(first=1))
    for n, (facts, difference) in enumerate(
        zip(
            scenes.facts(clip, scene="auto", threshold=threshold, duplicates=False).frames(close=True),
            plain.frames(close=True),
            strict=True,
        )
    ):
        if scenes.read(facts).cut:
            found["vsvfi"].add(n + 1)
        for limit in (0.10, 0.15):
            if n + 1 < clip.num_frames and float(difference.props["PlaneStatsDiff"]) > limit:
                found[f"difference > {limit:.2f}"].add(n + 1)
    return found | {name: detector(clip) for name, detector in (others or {}).items()}


class Tally:
    """Counts of one class."""

    def __init__(self) -> None:
        self.clips = self.frames = self.cuts = 0
        self.found: dict[str, int] = defaultdict(int)
        self.false: dict[str, int] = defaultdict(int)

    def add(self, length: int, cuts: frozenset[int], found: dict[str, set[int]]) -> None:
        self.clips, self.frames, self.cuts = self.clips + 1, self.frames + length, self.cuts + len(cuts)
        for method, places in found.items():
            self.found[method] += len(places & cuts)
            self.false[method] += len(places - cuts)

    def recall(self, method: str) -> float:
        return self.found[method] / self.cuts if self.cuts else 1.0

    def precision(self, method: str) -> float:
        claimed = self.found[method] + self.false[method]
        return self.found[method] / claimed if claimed else 1.0


def score(
    seeds: Sequence[int],
    threshold: float | None = None,
    log: bool = True,
    others: Mapping[str, Detector] | None = None,
    kinds: Sequence[str] | None = None,
) -> dict[str, Tally]:
    """One tally per class, and one named "all"."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for seed in seeds:
        clips: Iterator[CutClip] = chain(
            cases(seed, None if kinds is None else tuple(kinds)), evaluation_clips(seed) if kinds is None else ()
        )
        for case in clips:
            found = found_by(clip_of(case), threshold, others)
            for name in (class_of(case.kind), "all"):
                tallies[name].add(case.length, case.cuts, found)
            if log and found["vsvfi"] != case.cuts:
                missed, false = sorted(case.cuts - found["vsvfi"]), sorted(found["vsvfi"] - case.cuts)
                print(f"seed {seed}, {case.name}: missed {missed}, false {false}", file=sys.stderr)
    return tallies


def table(tallies: dict[str, Tally], methods: Sequence[str] = METHODS) -> str:
    """Format as Markdown: detected of all scene changes, and false ones after a plus sign."""
    lines = [f"| class | frames | cuts | {' | '.join(methods)} |", "|---|---:|---:|" + "---:|" * len(methods)]
    for name in [*CLASSES, "all"]:
        if name not in tallies:
            continue
        tally = tallies[name]
        cells = [
            f"{tally.found[method]} + {tally.false[method]} false" if tally.cuts else f"{tally.false[method]} false"
            for method in methods
        ]
        lines.append(f"| {name} | {tally.frames} | {tally.cuts or ''} | {' | '.join(cells)} |")
    for measure in ("recall", "precision"):
        cells = [f"{getattr(tallies['all'], measure)(method):.3f}" for method in methods]
        lines.append(f"| **{measure}** | | | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.evaluate.scenes", description=__doc__)
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[16, 17, 18, 19, 20, 21],
        help="seeds of the clips (default: the held-out ones)",
    )
    parser.add_argument("--others", action="store_true", help="compare with other detectors that are installed")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="only these kinds of clips (default: all)")
    parser.add_argument("--threshold", type=float, help="threshold of vsvfi (default: its own)")
    given = parser.parse_args(args)
    started = time.monotonic()
    others = installed() if given.others else {}
    methods = (*METHODS, *others)
    tallies = score(given.seeds, given.threshold, others=others, kinds=given.kinds)
    print(table(tallies, methods))
    everything = tallies["all"]
    summary = {
        method: {"recall": everything.recall(method), "precision": everything.precision(method)} for method in methods
    }
    print(
        json.dumps(
            {
                "seeds": given.seeds,
                "cuts": everything.cuts,
                "frames": everything.frames,
                "seconds": round(time.monotonic() - started, 1),
                **summary,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
