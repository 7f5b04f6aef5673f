"""Score models on what interpolation fails on, beside blending, OpenCV's DIS flow and other models.

    python -m scripts.evaluate.hard --model builtin --model builtin_hq --model rife40 --clips FOLDER

Trials are those of `scripts.evaluate.trials`. `FOLDER` may hold videos, of which odd frames are predicted from even
ones, and folders of PNG files, whose frames are predicted from their neighbours. Prints a table: mean RGB PSNR in
decibels by group, in the window of what moves; the letters of 17 pixels by speed; the gradient energy as a share of
the truth's; and the flicker of 8x in 1/255. With `--json` all scores are written, by trial.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scripts.evaluate.quality import Predictor, Question, folder_questions, predictor, video_questions
from scripts.evaluate.trials import Trial, everything
from scripts.png import save_png
from scripts.train.architectures import ARCHITECTURES
from scripts.train.heldout import FIRST_SEED, psnr
from vsvfi.compare.dis_flow import MISSING, dis
from vsvfi.synthetic import scene

FACTOR = 8
_MULTIPLE = 64
"""What the sides of images are padded to for checkpoints; enough for all architectures up to 1792 pixels."""
GROUPS = (
    *(f"text, {ground}" for ground in ("bar", "still", "moving")),
    *("ball", "car", "runner", "flat shapes", "combs", "unseen"),
)
"""Groups of the trials, for `--only`."""
SHARP = ("unseen", "flat shapes", "text, bar")
"""Groups whose gradient energy is compared."""


def blend(first: Tensor, second: Tensor, t: float) -> Tensor:
    """Mix both images."""
    return first + t * (second - first)


def energy(image: Tensor) -> float:
    """Mean squared difference of neighbouring pixels of an image [1, 3, H, W]."""
    return float(image.diff(dim=2).square().mean() + image.diff(dim=3).square().mean())


@functools.cache
def _moving() -> tuple[list[Tensor], ...]:
    """Two scenes at every eighth of a frame, from one source frame to the next."""
    scenes = (scene(FIRST_SEED + 560 + index, 192, 112, kind="mixed") for index in range(2))
    times = [3 + step / FACTOR for step in range(FACTOR + 1)]
    return tuple([torch.from_numpy(np.ascontiguousarray(shown.frame(t)))[None] for t in times] for shown in scenes)


def flicker(predict: Predictor) -> float:
    """Mean error of the change from frame to frame at 8x, in 1/255, over two scenes."""
    found = []
    for truths in _moving():
        between = [predict(truths[0], truths[-1], step / FACTOR).float().cpu() for step in range(1, FACTOR)]
        made = [truths[0], *between, truths[-1]]
        found += [float(((b - a) - (d - c)).abs().mean()) for (a, b), (c, d) in zip(pairwise(made), pairwise(truths))]
    return 255 * sum(found) / len(found)


def trained(path: Path, precision: str) -> Predictor:
    """Return the averaged network of a checkpoint of `builtin`, in bfloat16 unless `precision` is fp32."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    architecture = ARCHITECTURES[state["architecture"]]
    network = architecture.fresh(**state["config"])
    network.load_state_dict(state["average"])
    network = network.eval().to(torch.float32 if precision == "fp32" else torch.bfloat16)
    network.prepare_operators()

    @torch.no_grad()
    def predict(first: Tensor, second: Tensor, t: float) -> Tensor:
        height, width = first.shape[2:]
        sides = (0, -width % _MULTIPLE, 0, -height % _MULTIPLE)
        padded = (functional.pad(image, sides, value=0.5) for image in (first, second))
        made: Tensor = architecture.used(network, (width, height))(*padded, torch.tensor([t]))
        return made[..., :height, :width]

    return predict


def clips(folder: Path, every: int) -> Iterator[Trial]:
    """Yield one in `every` predictable frames of each video and each folder of PNG files."""
    for path in sorted(folder.iterdir()):
        questions: Iterator[Question] = iter(())
        if path.is_dir() and next(path.glob("*.png"), None) is not None:
            questions = itertools.islice(folder_questions(path), 0, None, max(1, every // 2))
        elif path.suffix in (".mp4", ".mkv", ".avi"):
            questions = itertools.islice(video_questions(path, 1, 117), 0, None, every)
        for number, asked in enumerate(questions):
            yield Trial(path.name, str(number), asked.first, asked.second, asked.truth, asked.t)


def measure(
    methods: dict[str, Predictor], trials: Iterator[Trial], pictures: Path | None
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, dict[str, float]]]:
    """Return the PSNR by method, group and trial; and by method the energy's share of the truth's, and seconds."""
    scores: dict[str, dict[str, dict[str, float]]] = {name: {} for name in methods}
    shares: dict[str, list[float]] = {name: [] for name in methods}
    seconds = dict.fromkeys(methods, 0.0)
    for trial in trials:
        drawn = [trial.first, trial.truth]
        for name, predict in methods.items():
            began = time.process_time()
            made = predict(trial.first, trial.second, trial.t).float().cpu().clamp(0, 1)
            seconds[name] += time.process_time() - began
            made = (made * 255).round() / 255
            rows, columns = trial.window
            seen, wanted = made[..., rows, columns], trial.truth[..., rows, columns]
            scores[name].setdefault(trial.group, {})[trial.name] = round(psnr(seen, wanted), 3)
            if trial.group in SHARP:
                shares[name].append(energy(seen) / max(energy(wanted), 1e-9))
            drawn.append(made)
        if pictures is not None:
            strip = torch.cat([image[..., trial.window[0], trial.window[1]] for image in drawn], 2)
            save_png(pictures / f"{trial.group}-{trial.name}.png".replace(" ", "_"), strip[0].numpy())
    other = {name: {"seconds": round(seconds[name], 2)} for name in methods}
    for name, found in shares.items():
        if found:
            other[name]["sharpness"] = round(float(np.median(found)), 4)
    return scores, other


def table(scores: dict[str, dict[str, dict[str, float]]], other: dict[str, dict[str, float]]) -> str:
    """Format a row per group and a column per method."""
    names = list(scores)
    lines = [f"{'':28}" + "".join(f"{name:>14}" for name in names)]

    def row(title: str, values: list[float], digits: int = 2) -> None:
        lines.append(f"{title:28}" + "".join(f"{value:14.{digits}f}" for value in values))

    for group, found in next(iter(scores.values())).items():
        row(group, [sum(scores[name][group].values()) / len(found) for name in names])
        for trial in found:
            if group == "text, bar" and trial.startswith("17 px"):
                row(f"  {trial}", [scores[name][group][trial] for name in names])
    for title in ("sharpness", "flicker", "seconds"):
        if title in other[names[0]]:
            row(title, [other[name][title] for name in names], 3)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="Score models on text, fast things, flat shapes and combs.")
    parser.add_argument("--model", action="append", default=[], help="names of models; default builtin")
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="also a checkpoint of the training program, by its file's folder",
    )
    parser.add_argument("--without-search", action="store_true", help="also builtin with options={'search': False}")
    parser.add_argument("--clips", type=Path, help="folder of videos and of folders of PNG files")
    parser.add_argument("--every", type=int, default=4, help="of the clips, only every so many-th frame")
    parser.add_argument(
        "--only", action="append", default=[], metavar="GROUP", help=f"only these of: {'; '.join(GROUPS)}"
    )
    parser.add_argument("--pictures", type=Path, help="folder for pictures: first, truth, and each method's")
    parser.add_argument("--json", type=Path, help="file for all scores")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args(arguments)
    methods: dict[str, Predictor] = {"blend": blend}
    if MISSING:
        print(f"DIS is left out: {MISSING}", file=sys.stderr)
    else:
        methods["DIS"] = dis
    for name in given.model or (["builtin"] if not (given.checkpoint or given.without_search) else []):
        methods[name] = predictor(name, None, "auto", given.precision)
    if given.without_search:
        methods["no search"] = predictor("builtin", None, "auto", given.precision, {"search": False})
    for path in given.checkpoint:
        methods[path.parent.name] = trained(path, given.precision)
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    trials = itertools.chain(everything(), clips(given.clips, given.every) if given.clips else ())
    chosen = (trial for trial in trials if not given.only or trial.group in given.only)
    scores, other = measure(methods, chosen, given.pictures)
    for name, predict in methods.items():
        other[name]["flicker"] = round(flicker(predict), 3)
    print(table(scores, other))
    if given.json:
        given.json.write_text(json.dumps({"psnr": scores, "other": other}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
