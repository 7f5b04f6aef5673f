"""Score a model against frame repetition and blending, on procedural scenes and on real frames.

Optionally also against ffmpeg's minterpolate and OpenCV's DIS flow.

    python -m scripts.evaluate.quality --model builtin --video clip.mp4 --folder frames/ --minterpolate

Scenes are those of `vsvfi.synthetic.scene` with seeds that training never uses. A video's odd frames are predicted from
their even neighbours; in a folder of PNG files every frame is predicted from the two beside it. PSNR is of RGB in
decibels, averaged over frames. Prints a table, then one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scripts.png import save_png
from scripts.reported import reported
from scripts.train.heldout import FIRST_SEED, psnr
from vsvfi.compare.dis_flow import MISSING, dis
from vsvfi.compare.minterpolate import minterpolate
from vsvfi.synthetic import scene
from vsvfi.synthetic.captions import SPEEDS, scrolling_captions

type Predictor = Callable[[Tensor, Tensor, float], Tensor]
"""(first, second [1, 3, H, W], t) -> [1, 3, H, W]."""


@dataclass(frozen=True, slots=True)
class Question:
    """Predict `truth` at t between `first` and `second`, all [1, 3, H, W] in [0, 1].

    `minterpolate` is that filter's result, if it was requested.
    """

    group: str
    first: Tensor
    second: Tensor
    truth: Tensor
    t: float
    minterpolate: Tensor | None = None


METHODS = ("repeat", "blend", "minterpolate", "dis", "model")


@dataclass(slots=True)
class Tally:
    """PSNR of each method, one entry per question of a group."""

    repeat: list[float] = field(default_factory=list)
    blend: list[float] = field(default_factory=list)
    minterpolate: list[float] = field(default_factory=list)
    dis: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def means(self) -> dict[str, float]:
        count = len(self.model)
        values = {name: sum(scores) / count for name in METHODS if (scores := getattr(self, name))}
        return {
            "frames": count,
            **{name: round(value, 3) for name, value in values.items()},
            "seconds_per_frame": round(self.seconds / count, 3),
        }


def synthetic_questions(
    count: int, width: int, height: int, *, compare: bool = False, only: Collection[tuple[str, int]] | None = None
) -> Iterator[Question]:
    """Yield `count` scenes of each moving, well-lit kind, each at t = 1/2 and one other timestep.

    A quarter of the scenes, pans excepted, are two frames apart. With `compare` minterpolate also gets one frame before
    the pair and two after it, for its motion search. `only` selects scenes by kind and number.
    """
    for kind in ("mixed", "textured", "flat", "pan"):
        for index in range(count):
            if only is not None and (kind, index) not in only:
                continue
            shown = scene(FIRST_SEED + 100 + index, width, height, kind=kind)
            step = 2.0 if index % 4 == 3 and kind != "pan" else 1.0
            first, second = _tensor(shown.frame(3.0)), _tensor(shown.frame(3.0 + step))
            around = (
                minterpolate([shown.frame(3.0 + step * place) for place in range(-1, 4)], 8)[8:17] if compare else None
            )
            for t in (0.5, (0.25, 0.75, 0.125)[index % 3]):
                other = _tensor(around[round(8 * t)]) if around else None
                yield Question(kind, first, second, _tensor(shown.frame(3.0 + step * t)), t, other)


def still_questions(width: int, height: int) -> Iterator[Question]:
    """Yield pairs without motion, whose truth is the image itself."""
    for kind in ("textured", "flat", "dark"):
        image = _tensor(scene(FIRST_SEED + 200, width, height, kind=kind).frame(3.0))
        yield Question("still", image, image, image, 0.5)


def text_questions(count: int, width: int, height: int, *, compare: bool = False) -> Iterator[Question]:
    """Yield captions that scroll over still scenes, `count` of each speed.

    With `compare` minterpolate also gets one frame before and one after the pair.
    """
    for speed in SPEEDS:
        for index in range(count):
            drawn = scrolling_captions(width, height, speed, index, FIRST_SEED + 300, range(-2, 5))
            other = _tensor(minterpolate(drawn[::2], 2)[3]) if compare else None
            before, middle, after = map(_tensor, drawn[2:5])
            yield Question(f"text {speed} px", before, after, middle, 0.5, other)


def video_questions(path: Path, first: int, last: int, *, compare: bool = False) -> Iterator[Question]:
    """Yield odd frames first..last of a video between their even neighbours, as far as the video goes."""
    frames = decode(path)
    others = minterpolate(frames[::2], 2) if compare else None
    for k in range(first | 1, min(last, len(frames) - 2) + 1, 2):
        yield Question(
            path.name,
            _tensor(frames[k - 1]),
            _tensor(frames[k + 1]),
            _tensor(frames[k]),
            0.5,
            _tensor(others[k]) if others else None,
        )


def folder_questions(path: Path, *, compare: bool = False) -> Iterator[Question]:
    """Yield each PNG file of a folder, except the first and last, between its two neighbours."""
    frames = [decode(file)[0] for file in sorted(path.glob("*.png"))]
    # minterpolate computes the odd frames from all even ones, and vice versa
    others = (minterpolate(frames[::2], 2), [frames[0], *minterpolate(frames[1::2], 2)]) if compare else None
    for k in range(1, len(frames) - 1):
        other = _tensor(others[1 - k % 2][k]) if others else None
        yield Question(path.name, _tensor(frames[k - 1]), _tensor(frames[k + 1]), _tensor(frames[k]), 0.5, other)


def decode(path: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Decode all frames of a file with ffmpeg: [3, H, W] float32 RGB in [0, 1]."""
    import imageio_ffmpeg  # of the extra `video`; wanted only here

    program = imageio_ffmpeg.get_ffmpeg_exe()
    width, height = next(iter(imageio_ffmpeg.read_frames(str(path))))["size"]
    raw = subprocess.run(
        [program, "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    ).stdout
    images = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    return [np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255) for image in images]


def _tensor(image: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
    return torch.from_numpy(image)[None]


def predictor(
    name: str, checkpoint: Path | None, device: str, precision: str, options: dict[str, object] | None = None
) -> Predictor:
    """Load a registered model by name; `checkpoint` replaces its weights by the averaged ones of a training run."""
    from vsvfi.engine.model import load_model

    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)["average"] if checkpoint else None
    model = load_model(name, weights=weights, device=device, precision=precision, options=options)
    return lambda first, second, t: model(first, second, t)


def run(
    questions: Iterator[Question], predict: Predictor, images: Path | None = None, flow: bool = False
) -> dict[str, Tally]:
    """Predict and score every question.

    If `images` is given, first | truth | blend | model | 4 x error is written there for one question in eight.
    """
    tallies: dict[str, Tally] = {}
    for number, question in enumerate(questions):
        tally = tallies.setdefault(question.group, Tally())
        began = time.perf_counter()
        made = predict(question.first, question.second, question.t).float().cpu()
        tally.seconds += time.perf_counter() - began
        made = (made * 255).round() / 255
        blend = question.first * (1 - question.t) + question.second * question.t
        nearest = question.first if question.t <= 0.5 else question.second
        for name, image in (("repeat", nearest), ("blend", blend), ("model", made)):
            getattr(tally, name).append(psnr(image, question.truth))
        if flow:
            tally.dis.append(
                psnr((dis(question.first, question.second, question.t) * 255).round() / 255, question.truth)
            )
        if question.minterpolate is not None:
            tally.minterpolate.append(psnr(question.minterpolate, question.truth))
        if images is not None and number % 8 == 0:
            strip = torch.cat((question.first, question.truth, blend, made, ((made - question.truth) * 4).abs()), 3)
            save_png(images / f"{question.group}-{number:03d}.png", strip[0].numpy())
    return tallies


@reported("quality", weights="--checkpoint")
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description="Score a model against repeating and blending frames.")
    parser.add_argument("--model", default="builtin")
    parser.add_argument(
        "--checkpoint", type=Path, help="a checkpoint of scripts.train builtin, instead of the model's own weights"
    )
    parser.add_argument("--scenes", type=int, default=8, help="procedural scenes of each kind; 0 for none")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(320, 180), metavar=("WIDTH", "HEIGHT"), help="of the procedural scenes"
    )
    parser.add_argument("--text", type=int, default=0, help="pairs of scrolling captions of each speed")
    parser.add_argument("--video", type=Path, action="append", default=[], help="predict odd frames from even ones")
    parser.add_argument(
        "--range",
        type=int,
        nargs=2,
        default=(1, 117),
        metavar=("FIRST", "LAST"),
        help="odd frames of a video to predict",
    )
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="PNG files: predict each from its neighbours"
    )
    parser.add_argument("--every", type=int, default=1, help="of a video or folder, only every so many-th of these")
    parser.add_argument("--minterpolate", action="store_true", help="compare with ffmpeg's filter too")
    parser.add_argument("--dis", action="store_true", help="compare with OpenCV's DIS flow and backward warping too")
    parser.add_argument("--images", type=Path, help="folder for comparison images")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args(arguments)
    predict = predictor(given.model, given.checkpoint, given.device, given.precision)
    if given.images:
        given.images.mkdir(parents=True, exist_ok=True)
    sets: list[Iterator[Question]] = []
    if given.scenes:
        sets += [
            synthetic_questions(given.scenes, *given.size, compare=given.minterpolate),
            still_questions(*given.size),
        ]
    if given.text:
        sets.append(text_questions(given.text, *given.size, compare=given.minterpolate))
    real = [video_questions(path, *given.range, compare=given.minterpolate) for path in given.video]
    real += [folder_questions(path, compare=given.minterpolate) for path in given.folder]
    sets += [itertools.islice(questions, 0, None, given.every) for questions in real]
    if given.dis and MISSING:
        print(f"DIS is left out: {MISSING}", file=sys.stderr)
    groups: dict[str, dict[str, float]] = {}
    moving = Tally()
    print(f"{'':16}{'frames':>8}{'repeat':>10}{'blend':>10}{'minterpolate':>14}{'DIS':>8}{given.model:>16}{'gain':>8}")
    for questions in sets:
        for name, tally in run(questions, predict, given.images, given.dis and not MISSING).items():
            groups[name] = tally.means()
            _row(name, groups[name])
            if name in ("mixed", "textured", "flat", "pan"):
                for method in METHODS:
                    getattr(moving, method).extend(getattr(tally, method))
                moving.seconds += tally.seconds
    if moving.model:
        groups["synthetic"] = moving.means()
        _row("synthetic", groups["synthetic"])
    sys.stdout.flush()
    print(json.dumps({"model": given.model, "scores": groups}))
    return 0


def _row(name: str, means: dict[str, float]) -> None:
    gain = means["model"] - means["blend"]
    other = f"{means['minterpolate']:14.2f}" if "minterpolate" in means else " " * 14
    flow = f"{means['dis']:8.2f}" if "dis" in means else " " * 8
    print(
        f"{name:16}{means['frames']:8}{means['repeat']:10.2f}{means['blend']:10.2f}{other}{flow}{means['model']:16.2f}{gain:+8.2f}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
