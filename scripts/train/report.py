"""Progress, curve, sample images, checkpoints and the record of a run."""

from __future__ import annotations

import csv
import importlib.util
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scripts.png import save_png
from scripts.train.batch import Batch
from scripts.train.checkpoint import export, replace_file, write_text
from scripts.train.record import all_terms, commit, versions
from scripts.train.run import Run
from scripts.train.scoring import Scored, blended, score

BEST = "best.pt"
"""Checkpoint of the best weights of the packaged model, for `scripts.train.export`."""

_EVERY = 10.0
"""Seconds between lines of progress."""

_SHOWN = 4
"""Samples of an image."""

_FIRST = 4
"""First steps of a run that each have a row in the curve, so that another run can be compared at once."""


class Reporter:
    """Reports a run.

    Args:
        subject: the run.
        command: how it was started, for the record.
    """

    def __init__(self, subject: Run, command: str) -> None:
        self.subject, self.command = subject, command
        self.out = subject.settings.out
        self._sums: dict[str, float] = {}
        self._count = 0
        self._began = self._shown = time.monotonic()
        self._first = subject.step
        self._columns: dict[str, Any] = {}
        if subject.worker == 0:
            _shorten(self.out / "curve.csv", subject.step)
        self._cases = subject.source.validation(subject.settings.held) if subject.worker == 0 else []
        self._board = _board(self.out) if subject.worker == 0 else None

    def begin(self) -> None:
        """Score the start, which all gains are relative to."""
        for old in ("curve.csv", "weights.safetensors", "weights.pth", BEST):
            (self.out / old).unlink(missing_ok=True)
        subject = self.subject
        if self._cases:
            scored = self._score()
            subject.started = subject.best = scored.value
            self._columns = dict.fromkeys(scored.columns, "")
            blend = "" if subject.recipe.form == "gimm" else f" (blending {blended(self._cases):.2f})"
            _say(f"start: held out {subject.started:.3f}{blend}, {len(self._cases)} samples{scored.shown}")

    def step(self, losses: dict[str, float]) -> None:
        """Count the losses of a step; show progress now and then, and the first steps in the curve."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        now = time.monotonic()
        subject = self.subject
        settings = subject.settings
        validated = subject.step % settings.every == 0 or subject.at_end()
        if subject.worker == 0 and subject.step <= _FIRST and not validated:
            self._write_row({"step": subject.step, "rate": subject.rate, **losses, "heldout": "", **self._columns})
        if subject.worker == 0 and now - self._shown >= _EVERY:
            self._shown = now
            pace = (now - self._began) / max(1, subject.step - self._first)
            left = pace * (subject.length - subject.step)
            _say(
                f"step {subject.step} ({subject.progress:.0%})  {self._means()}  {pace:.2f} s/step, "
                f"{_duration(left)} left"
            )

    def _means(self) -> str:
        return "  ".join(f"{name} {value / self._count:.4g}" for name, value in self._sums.items())

    def _score(self) -> Scored:
        """Score the weights that would be exported."""
        subject = self.subject
        own = {name: tensor.detach().clone() for name, tensor in subject.form.network.state_dict().items()}
        subject.form.network.load_state_dict(subject.weights(), strict=False)
        result = score(subject.form, self._cases, subject.device)
        subject.form.network.load_state_dict(own)
        return result

    def validate(self, batch: Batch | None, image: Tensor | None, losses: dict[str, float]) -> bool:
        """Score, write curve, image, weights and checkpoint; return whether to go on."""
        subject = self.subject
        if subject.worker:
            self._sums, self._count = {}, 0
            return True
        scored = self._score() if self._cases else Scored(-losses["total"])
        result = scored.value
        means = {name: value / max(1, self._count) for name, value in self._sums.items()}
        if subject.step <= _FIRST:
            _shorten(self.out / "curve.csv", subject.step - 1)
        self._write_row({"step": subject.step, "rate": subject.rate, **means, "heldout": result, **scored.columns})
        if batch is not None and image is not None:
            images = (batch.first, batch.truth, image.float(), batch.second)
            rows = [torch.cat([*image[:_SHOWN].clamp(0, 1)], 2) for image in images]
            save_png(self.out / f"sample-{subject.step:06d}.png", torch.cat(rows, 1).cpu().numpy())
        written = self.out / ("weights.pth" if subject.form.exported else BEST)
        better = result > subject.best or (subject.started is not None and not written.exists())
        subject.stale = 0 if result > subject.best else subject.stale + 1
        subject.best = max(subject.best, result)
        gain = "" if subject.started is None else f", {result - subject.started:+.3f} over the start"
        _say(f"step {subject.step}: held out {result:.3f}{gain}{scored.shown}  {self._means()}")
        if better and math.isfinite(result):
            if subject.form.exported:
                export(self.out, subject.recipe.model, subject.weights(), self.record(result))
            if subject.form.facts:
                subject.save(self.out / BEST)
        subject.save(self.out / "last.pt")
        self._sums, self._count = {}, 0
        patience = subject.settings.patience
        if patience and subject.stale >= patience:
            _say(f"no gain in {patience} validations: stopped")
            return False
        return True

    def _write_row(self, row: dict[str, Any]) -> None:
        curve = self.out / "curve.csv"
        names = _header(curve)
        with curve.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names or list(row), restval="", lineterminator="\n")
            if not names:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for name, value in row.items():
                if name != "step" and value != "":
                    self._board.add_scalar(name, value, self.subject.step)

    def record(self, result: float) -> dict[str, object]:
        """Describe the weights."""
        subject = self.subject
        recipe, settings = subject.recipe, subject.settings
        return {
            "trained_by": "scripts.train",
            "recipe": recipe.name,
            "model": recipe.model,
            "command": self.command,
            "commit": commit(),
            "seed": settings.seed,
            "steps": subject.step,
            "of_steps": settings.steps,
            "batch": recipe.batch,
            "crop": recipe.crop,
            "precision": "bf16" if settings.bfloat and recipe.autocast else "fp32",
            "data": subject.source.identity(),
            "began_with": subject.origins,
            "licence": " ".join(all_terms(recipe.model, subject.origins)),
            "scores": {"held_out": result, "held_out_start": subject.started, "samples": len(self._cases)},
            "seconds": round(subject.elapsed),
            "skipped_steps": subject.skipped,
            "versions": versions(),
        }

    def end(self) -> None:
        """State where the results are."""
        subject = self.subject
        done = "done" if subject.progress >= 1 else "stopped; --resume goes on"
        written = "weights.safetensors" if subject.form.exported else BEST
        _say(f"{done} at step {subject.step}, best {subject.best:.3f}: {self.out / written}")
        if self._board is not None:
            self._board.close()


def _header(curve: Path) -> list[str]:
    """Return the names of the columns; none where there is no file."""
    if not curve.exists():
        return []
    with curve.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file), [])


def _shorten(curve: Path, step: int) -> None:
    """Remove the rows after a step, which a killed process may have written since its last checkpoint."""
    if not curve.exists():
        return
    header, *rows = curve.read_text(encoding="utf-8").splitlines()
    kept = [header, *(row for row in rows if row.partition(",")[0].isdigit() and int(row.partition(",")[0]) <= step)]
    replace_file(curve, lambda draft: write_text(draft, "".join(f"{line}\n" for line in kept)))


def _board(folder: object) -> Any:
    """Return a writer for TensorBoard, where it is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
