"""The training loop of every recipe: resumable bit for bit, on one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from scripts.train.batch import Batch
from scripts.train.build import build_optimiser, build_optimisers, set_rates
from scripts.train.checkpoint import restore, save
from scripts.train.forms.form import Form, Losses
from scripts.train.forms.ldmvfi import AutoEncoderForm
from scripts.train.recipe import Recipe
from scripts.train.sources.source import BatchSource, Reading, Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run is besides its recipe.

    Attributes:
        out: folder of all results.
        steps: optimiser steps of the whole run; its schedule ends there. 0 where `clock` ends it.
        clock: minutes of training of the whole run, over all its calls, instead of steps; not reproducible.
        minutes: stop after so many minutes of this call, to be resumed; 0 for no limit.
        until: stop at this step, to be resumed; 0 for no limit.
        batch: samples in memory at a time, per process; gradients are accumulated to the recipe's batch. 0 for all.
        seed: of everything random.
        device: of torch.
        bfloat: run layers in bfloat16 where the recipe allows it.
        every: steps between validations and checkpoints.
        held: validation samples.
        workers: processes that read data.
        patience: validations without improvement after which the run ends; 0 for never.
    """

    out: Path
    steps: int
    clock: float = 0.0
    minutes: float = 0.0
    until: int = 0
    batch: int = 0
    seed: int = 1
    device: str = "cpu"
    bfloat: bool = False
    every: int = 500
    held: int = 16
    workers: int = 0
    patience: int = 0


class Run:
    """A network in training form, its optimisers, its average and its progress.

    Args:
        recipe: of the run.
        form: with the weights that it begins with.
        source: of the samples.
        settings: of the run.
        origins: descriptions of the files that the weights came from.
    """

    def __init__(
        self,
        recipe: Recipe,
        form: Form,
        source: BatchSource,
        settings: Settings,
        origins: Sequence[dict[str, object]] = (),
    ) -> None:
        self.recipe, self.source, self.settings = recipe, source, settings
        self.device = torch.device(settings.device)
        self.form = form.to(self.device)
        self.workers = distributed.get_world_size() if distributed.is_initialized() else 1
        self.worker = distributed.get_rank() if distributed.is_initialized() else 0
        self.share = _share(recipe, source, settings.batch, self.worker, self.workers)
        self.trained = self.form.trained()
        kept = set(self.trained)
        for name, weight in self.form.network.named_parameters():
            weight.requires_grad_(name in kept)
        self.optimisers = build_optimisers(recipe, form)
        self._main = tuple(self.optimisers)
        if isinstance(form, AutoEncoderForm):
            self.optimisers.append(build_optimiser(recipe, dict(form.discriminator.named_parameters())))
        self.average: dict[str, Tensor] = {}
        if recipe.average is not None:
            self.average = {name: value.detach().clone() for name, value in self._averaged().items()}
        self.step, self.best, self.elapsed, self.stale, self.skipped = 0, float("-inf"), 0.0, 0, 0
        self.started: float | None = None
        self.origins = list(origins)

    @property
    def rate(self) -> float:
        """Learning rate of the last step, of the optimiser's first group."""
        return float(self.optimisers[0].param_groups[0]["lr"])

    @property
    def progress(self) -> float:
        """Completed share of the run, 0 to 1."""
        if self.settings.clock:
            return self.elapsed / (60 * self.settings.clock)
        return self.step / max(self.settings.steps, 1)

    @property
    def length(self) -> float:
        """Steps of the whole run; where a clock ends it, as many as its pace lets expect."""
        if not self.settings.clock:
            return self.settings.steps
        return self.step / self.progress if self.step and self.progress else float("inf")

    def at_end(self) -> bool:
        """Whether the run, or this call of it, is at its last step."""
        return self.progress >= 1 or bool(self.settings.until and self.step >= self.settings.until)

    def _averaged(self) -> dict[str, Tensor]:
        """Return the tensors that are averaged."""
        assert self.recipe.average is not None
        return self.form.network.state_dict() if self.recipe.average.buffers else {**self.trained}

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to use: the average where there is one; those that have no values are left out."""
        filled = tuple(self.form.filled)
        state = self.form.network.state_dict()
        return {name: self.average.get(name, tensor) for name, tensor in state.items() if name.startswith(filled)}

    def advance(self, parts: list[Batch]) -> tuple[dict[str, float], Batch, Tensor | None]:
        """Run one optimiser step on this process's micro-batches.

        Returns the mean of every part of the loss, the last micro-batch, and the frames predicted for it.
        """
        self.form.train()
        self.form.progress = self.progress
        set_rates(self._main, self.recipe, self.step, self.length)
        self.form.zero_grad(set_to_none=True)
        if isinstance(self.form, AutoEncoderForm):
            self.form.batches = self.step
        sums: dict[str, float] = {}
        made: Losses | None = None
        for index, batch in enumerate(parts):
            made = self._losses(batch, index)
            (made.total / len(parts)).backward()  # type: ignore[no-untyped-call]
            for name, value in {"total": made.total, **made.parts}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / len(parts)
        sums = average_losses(sums, self.workers, self.device)
        sums["norm"] = self._apply(self._main, list(self.trained.values()))
        if isinstance(self.form, AutoEncoderForm):
            self.form.discriminator.zero_grad(set_to_none=True)
            for batch in parts:
                (self.form.second(batch) / len(parts)).backward()  # type: ignore[no-untyped-call]
            self._apply(self.optimisers[1:], list(self.form.discriminator.parameters()))
        if self.recipe.average is not None:
            self.recipe.average.update(self.average, self._averaged(), self.step)
        self.step += 1
        assert made is not None
        return sums, parts[-1], made.image

    def _losses(self, batch: Batch, index: int) -> Losses:
        # One stream of random numbers per sample position, whatever the number of processes
        number = (self.step * self.share.parts + index) * self.workers + self.worker
        random = torch.Generator().manual_seed((self.settings.seed << 40) + number)
        enabled = self.settings.bfloat and self.recipe.autocast
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            losses: Losses = self.form(batch, random)
        return losses

    def _apply(self, optimisers: Sequence[torch.optim.Optimizer], weights: list[nn.Parameter]) -> float:
        """Average the gradients over all processes, limit their norm and step; a norm that is not finite is skipped."""
        average_gradients(weights, self.workers)
        limit = self.recipe.clip_norm
        norm = float(nn.utils.clip_grad_norm_(weights, limit if limit is not None else float("inf")))
        if norm == norm and norm != float("inf"):
            for optimiser in optimisers:
                optimiser.step()
        else:
            self.skipped += 1
        return norm

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to go on."""
        return {
            "recipe": self.recipe.name,
            "steps": self.settings.steps,
            "seed": self.settings.seed,
            "step": self.step,
            "best": self.best,
            "stale": self.stale,
            "skipped": self.skipped,
            "started": self.started,
            "elapsed": self.elapsed,
            "origins": self.origins,
            "filled": sorted(self.form.filled),
            "form": {
                name: value for name, value in self.form.state_dict().items() if not name.startswith("perceptual.")
            },
            "average": {**self.form.network.state_dict(), **self.average} if self.form.facts else self.average,
            **self.form.facts,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def save(self, path: Path) -> None:
        """Save a checkpoint atomically."""
        save(path, self.state())

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it is of another run.
        """
        state = restore(path, self.device)
        whole = {"recipe": self.recipe.name, "steps": self.settings.steps, "seed": self.settings.seed}
        facts = {name: fact for name, fact in self.form.facts.items() if name != "weights"}
        for name, own in {**whole, **facts}.items():
            if state.get(name, own) != own:
                raise ValueError(f"train: {name}={own}, the run in {path} has {state[name]}; pass the same to --resume")
        missing, unknown = self.form.load_state_dict(state["form"], strict=False)
        assert not unknown
        assert all(name.startswith("perceptual.") for name in missing)
        self.form.filled = set(state["filled"])
        self.origins = state.get("origins", self.origins)
        self.form.facts = {name: state.get(name, fact) for name, fact in self.form.facts.items()}
        self.average = {name: state["average"][name] for name in self.average}
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            bases = [group["base"] for group in optimiser.param_groups]
            optimiser.load_state_dict(saved)
            for group, base in zip(optimiser.param_groups, bases, strict=True):
                group["base"] = base
        self.step, self.best, self.stale = state["step"], state["best"], state["stale"]
        self.elapsed, self.started, self.skipped = state["elapsed"], state["started"], state["skipped"]


def _share(recipe: Recipe, source: BatchSource, batch: int, worker: int, workers: int) -> Share:
    """Divide the recipe's batch among processes and accumulated steps.

    Raises:
        ValueError: it cannot be divided.
    """
    clips = max(1, recipe.batch // source.targets)
    size = batch // source.targets if batch else clips // workers
    if size < 1 or clips % (size * workers):
        fitting = [n * source.targets for n in range(1, clips // workers + 1) if clips % (n * workers) == 0]
        raise ValueError(
            f"train: --batch={batch}, the recipe's batch of {recipe.batch} must be a multiple of it times {workers} "
            f"processes; use one of {fitting or 'fewer processes'}"
        )
    return Share(clips, size, worker, workers)


def average_losses(losses: dict[str, float], workers: int, device: torch.device) -> dict[str, float]:
    """Average the losses over all processes."""
    if workers == 1:
        return losses
    values = torch.tensor(list(losses.values()), dtype=torch.float64, device=device)
    distributed.all_reduce(values)
    return dict(zip(losses, (values / workers).tolist(), strict=True))


def average_gradients(weights: list[nn.Parameter], workers: int) -> None:
    """Average the gradients over all processes; every process has the same parameters with a gradient."""
    if workers == 1:
        return
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= workers
    for gradient, part in zip(gradients, torch.split(flat, [value.numel() for value in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def run(
    subject: Run,
    report: Callable[[dict[str, float]], None],
    validate: Callable[[Batch | None, Tensor | None, dict[str, float]], bool],
) -> None:
    """Train to the end of the run, or to the limit of this call.

    Args:
        subject: of the training.
        report: is given the losses of every step.
        validate: is called every `settings.every` steps and at the end; returns whether to go on.
    """
    settings, recipe = subject.settings, subject.recipe
    reading = Reading(
        share=subject.share,
        augmentation=recipe.augmentation,
        crop=recipe.crop,
        seed=settings.seed,
        begin=subject.step,
        end=min(settings.steps, settings.until or settings.steps),
        workers=settings.workers,
    )
    stream = subject.source.steps(reading, lambda: subject.progress)
    began = time.monotonic()
    while not subject.at_end():
        started = time.monotonic()
        losses, batch, image = subject.advance([part.to(subject.device) for part in next(stream)])
        spent = time.monotonic() - started
        subject.elapsed += _longest(spent, subject) if settings.clock else spent
        report(losses)
        over = bool(settings.minutes) and _longest(time.monotonic() - began, subject) >= 60 * settings.minutes
        due = subject.step % settings.every == 0 or subject.at_end() or over
        if due and not _agreed(validate(batch, image, losses), subject):
            break
        if over:
            break


def _longest(seconds: float, subject: Run) -> float:
    """Return the largest clock of all processes, so that all stop at the same step."""
    if subject.workers == 1:
        return seconds
    clock = torch.tensor([seconds], dtype=torch.float64, device=subject.device)
    distributed.all_reduce(clock, distributed.ReduceOp.MAX)
    return float(clock)


def _agreed(go_on: bool, subject: Run) -> bool:
    """Let the first process decide."""
    if subject.workers == 1:
        return go_on
    decision = torch.tensor([int(go_on)], dtype=torch.int64, device=subject.device)
    distributed.broadcast(decision, 0)
    return bool(int(decision))
