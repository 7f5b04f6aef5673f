"""Draw the README's first figure: the truth, frame blending, minterpolate and a model side by side.

    python -m scripts.evaluate.figure --out docs/comparison.jpg

The scenes are procedural ones of `scripts.evaluate.quality`, which training never sees. Prints each image's PSNR.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from scripts.evaluate.quality import predictor, synthetic_questions
from scripts.png import save_png
from scripts.reported import reported
from scripts.train.heldout import psnr

SHOWN = (("flat", 3), ("textured", 0), ("pan", 1))
"""Kind and number of the scenes, top to bottom, one of each kind, at t = 1/2."""
_WIDTH, _HEIGHT, _GAP = 320, 180, 4


@reported("figure")
def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, draw, write."""
    parser = argparse.ArgumentParser(
        description="Draw the true frame, and what blending, minterpolate and a model make of it."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("comparison.jpg"), help="the JPEG file to write (default: comparison.jpg)"
    )
    parser.add_argument("--model", default="builtin")
    given = parser.parse_args(arguments)
    predict = predictor(given.model, None, "auto", "auto")
    found: dict[str, torch.Tensor] = {}
    for question in synthetic_questions(
        1 + max(number for _, number in SHOWN), _WIDTH, _HEIGHT, compare=True, only=SHOWN
    ):
        if question.t != 0.5:
            continue
        assert question.minterpolate is not None
        made = predict(question.first, question.second, question.t).float().cpu().clamp(0, 1)
        images = (question.truth, (question.first + question.second) / 2, question.minterpolate, made)
        scores = "  ".join(
            f"{name} {psnr(image, question.truth):.1f}"
            for name, image in zip(("blend", "minterpolate", given.model), images[1:], strict=True)
        )
        print(f"{question.group}: {scores} dB")
        found[question.group] = torch.cat(
            [torch.nn.functional.pad(image, (0, _GAP, 0, _GAP), value=1.0) for image in images], 3
        )
    figure = torch.cat([found[kind] for kind, _ in SHOWN], 2)[0, :, :-_GAP, :-_GAP]
    _write_jpeg(given.out, figure)
    return 0


def _write_jpeg(path: Path, image: torch.Tensor) -> None:
    """RGB [3, H, W] in [0, 1]."""
    import imageio_ffmpeg  # of the extra `video`; wanted only here

    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "figure.png"
        save_png(exact, image.numpy())
        subprocess.run(
            [
                imageio_ffmpeg.get_ffmpeg_exe(),
                "-v",
                "error",
                "-y",
                "-i",
                str(exact),
                "-pix_fmt",
                "yuvj444p",
                "-q:v",
                "3",
                str(path),
            ],
            check=True,
        )


if __name__ == "__main__":
    raise SystemExit(main())
