"""Train the packaged model on procedural samples; seeded and resumable.

    python -m scripts.train.train --out out/builtin --steps 6000
    python -m scripts.train.train --out out/builtin --steps 6000 --resume

To go on from weights, or with two single-threaded processes, which use two cores best:

    python -m scripts.train.train --out out/builtin --steps 6000 --ease 0 \\
        --weights vsvfi/weights/builtin/uprnet_builtin.safetensors
    torchrun --nproc-per-node 2 -m scripts.train.train --out out/builtin --threads 1

Writes into the folder `--out`: `last.pt` (everything needed to go on), `best.pt` (the averaged weights with the best
held-out score), `curve.csv`, `sample-*.png`. Progress goes to stderr. A resumed run continues bit for bit on the same
machine with the same number of threads.
"""

from __future__ import annotations

import argparse
import copy
import csv
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import distributed, nn

from scripts.png import save_png
from scripts.train.bank import Bank
from scripts.train.data import Renderer, Sample
from scripts.train.fine import FINE
from scripts.train.heldout import SIZE, Score, score
from scripts.train.ifrnet import IFRNET
from scripts.train.loss import losses
from scripts.train.optimiser import Muon
from scripts.train.rife import RIFE
from scripts.train.scenery.renderer import Scenery, SceneryRenderer
from scripts.train.uprnet import UPRNET
from vsvfi.engine.build import AnyInterpolator

ARCHITECTURES = {"fine": FINE, "ifrnet": IFRNET, "rife": RIFE, "uprnet": UPRNET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a run.

    The learning rate rises during `warmup` steps, stays, and falls to zero from the share `decay_from` of the run on.
    During the first share `ease` samples are of half the size, twice as many, and move less. The run lasts `steps`, or
    `minutes` where given (then it is not reproducible bit for bit).
    """

    out: Path
    steps: int = 6000
    minutes: float = 0.0
    ease: float = 0.25
    seed: int = 1
    batch: int = 8
    size: int = 128
    rate: float = 2e-3
    warmup: int = 100
    decay_from: float = 0.55
    averaging: float = 0.995
    backgrounds: int = 128
    sprites: int = 160
    every: int = 250
    device: str = "cpu"
    half: bool = True
    muon: bool = True
    architecture: str = "uprnet"
    width: int = 0
    flow_weight: float = 0.05
    deviation_weight: float = 0.0
    census_weight: float = 0.0
    sharpness_weight: float = 0.0
    scenery: Path | None = None
    heldout: int = 4
    far: float = 0.25
    until: int = 0
    weights: Path | None = None
    compile: bool = False


class Trainer:
    """A network, its running average, the optimisers and the progress."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(settings.device)
        self.architecture = ARCHITECTURES[settings.architecture]
        self.config = {**self.architecture.config, **({"width": settings.width} if settings.width else {})}
        self.network = self.architecture.fresh(**self.config).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if settings.weights is not None:
            self.architecture.begin(self.network, load_file(settings.weights))
        self.average: AnyInterpolator = copy.deepcopy(self.network).eval()
        outputs = {id(weight) for weight in self.architecture.outputs(self.network)}
        matrices = [
            weight
            for weight in self.network.parameters()
            if weight.ndim > 1 and id(weight) not in outputs and settings.muon
        ]
        chosen = {id(weight) for weight in matrices}
        others = [weight for weight in self.network.parameters() if id(weight) not in chosen]
        if settings.compile:
            compile_blocks(self.network)
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.0)
        ]
        if matrices:
            self.optimisers.append(Muon(matrices, lr=settings.rate))
        self.step = 0
        self.best = float("-inf")
        self.workers = distributed.get_world_size() if distributed.is_initialized() else 1
        self.worker = distributed.get_rank() if distributed.is_initialized() else 0
        self.renderer, self.easy, self.distant = self._renderers()
        self.elapsed = 0.0  # seconds of training, over all resumed parts

    def _renderers(self) -> Iterator[Renderer | SceneryRenderer]:
        """Yield what draws samples of the usual size, of half of it, and of twice of it, from the same textures."""
        settings = self.settings
        drawn = (settings.seed, settings.backgrounds, settings.sprites)
        stored = Scenery.stored(settings.scenery, *drawn).to(self.device) if settings.scenery else None
        bank = Bank.drawn(*drawn).to(self.device) if stored is None else stored.bank
        batch = max(1, settings.batch // self.workers)
        sizes = (batch, settings.size), (2 * batch, settings.size // 2), (max(1, batch // 4), 2 * settings.size)
        for count, side in sizes:
            if stored is None:
                yield Renderer(bank, count, (side, side), settings.seed)
            else:
                yield SceneryRenderer(stored, count, (side, side), settings.seed)

    def progress(self) -> float:
        """Completed share of the run, 0 to 1."""
        if self.settings.minutes:
            return self.elapsed / (60 * self.settings.minutes)
        return self.step / max(self.settings.steps, 1)

    def rate(self) -> float:
        """Learning rate of this step."""
        part, start = self.progress(), self.settings.decay_from
        fall = min(1.0, max(0.0, (1 - part) / (1 - start)))
        return self.settings.rate * min(1.0, (self.step + 1) / self.settings.warmup) * max(fall, 0.005)

    def flow_weight(self) -> float:
        """Weight of the flow loss, which falls from the start to the last fifth of the run."""
        return self.settings.flow_weight * max(0.1, 1 - self.progress() / 0.8)

    def draw(self) -> Sample:
        """Render the samples of this step."""
        progress, ease = self.progress(), self.settings.ease
        number = self.step * self.workers + self.worker
        if progress < ease:
            return self.easy.draw(number, 0.3 + 0.7 * progress / ease)
        # Every process must take the same branch, or they would wait for each other.
        if (self.step * 0.618034) % 1 < self.settings.far:
            return self.distant.draw(number, 2.0)
        return self.renderer.draw(number)

    def advance(self) -> tuple[dict[str, float], Sample, torch.Tensor]:
        """Run one step; returns the terms of the loss, the batch, and the outputs."""
        began = time.monotonic()
        sample = self.draw()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half):
            estimate = self.architecture.estimate(self.network, sample)
        weights = self.settings.deviation_weight, self.settings.census_weight, self.settings.sharpness_weight
        total, parts = losses(estimate, sample, self.flow_weight(), *weights)
        self.network.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        elapsed = self._shared(self.elapsed + time.monotonic() - began)
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), 1.0))
        if norm == norm and norm != float("inf"):
            for optimiser in self.optimisers:
                optimiser.step()
        self.step += 1
        self.elapsed = elapsed
        keep = min(self.settings.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        return {"total": float(total.detach()), **parts, "norm": norm}, sample, estimate.images[-1].detach()

    def _shared(self, elapsed: float) -> float:
        """Average the gradients, and a clock, over all processes."""
        if self.workers == 1:
            return elapsed
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        flat = torch.cat(
            [*(gradient.reshape(-1) for gradient in gradients), torch.tensor([elapsed], device=self.device)]
        )
        distributed.all_reduce(flat)
        flat /= self.workers
        for gradient, part in zip(
            gradients, torch.split(flat[:-1], [gradient.numel() for gradient in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))
        return float(flat[-1])

    def save(self, path: Path) -> None:
        """Save everything needed to resume, atomically."""
        state = {
            "step": self.step,
            "best": self.best,
            "elapsed": self.elapsed,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "seed": self.settings.seed,
            "architecture": self.settings.architecture,
            "config": self.config,
            "weights": str(self.settings.weights or ""),
        }
        beside = path.with_suffix(".part")
        torch.save(state, beside)
        beside.replace(path)

    def restore(self, path: Path) -> None:
        """Resume from a file of `save`."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.best, self.elapsed = state["step"], state["best"], state["elapsed"]


def compile_blocks(network: nn.Module) -> None:
    """Compile the blocks of layers in a network with torch.compile; weights and their names stay as they are.

    The blocks contain no operator of `vsvfi.ops`. They are compiled for any size and batch, since samples vary in size
    and every level of a pyramid has its own. All blocks share one code object, whose compilations torch counts
    together.
    """
    blocks = _blocks(network)
    torch._dynamo.config.recompile_limit = 8 * len(blocks)
    for block in blocks:
        block.compile(dynamic=True)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Return the largest `nn.Sequential` modules in a network."""
    return [
        block
        for child in network.children()
        for block in ([child] if isinstance(child, nn.Sequential) else _blocks(child))
    ]


def train(settings: Settings, *, resume: bool = False) -> Trainer:
    """Run to `settings.steps`, reporting and saving every `settings.every` steps."""
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings)
    if resume:
        trainer.restore(settings.out / "last.pt")
    sums: dict[str, float] = {}
    began, since = time.monotonic(), trainer.step
    while trainer.progress() < 1 and not (settings.until and trainer.step >= settings.until):
        parts, sample, image = trainer.advance()
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value
        if trainer.step % 50 == 0 and trainer.worker == 0:
            pace = (time.monotonic() - began) / max(1, trainer.step - since)
            shown = "  ".join(
                f"{name} {value / max(1, trainer.step % settings.every or settings.every):.4f}"
                for name, value in sums.items()
            )
            print(
                f"step {trainer.step} ({trainer.progress():.0%})  {shown}  {pace:.2f} s/step",
                file=sys.stderr,
                flush=True,
            )
        if trainer.step % settings.every == 0 or trainer.progress() >= 1 or trainer.step == settings.until:
            if trainer.worker == 0:
                _report(trainer, {name: value / settings.every for name, value in sums.items()}, sample, image)
            sums = {}
    return trainer


def _report(trainer: Trainer, means: dict[str, float], sample: Sample, image: torch.Tensor) -> None:
    """Write score, curve, sample image and checkpoints."""
    settings = trainer.settings
    result: Score = score(trainer.architecture.used(trainer.average, SIZE), settings.heldout)
    gains = "  ".join(f"{kind} {gain:+.2f}" for kind, gain in result.by_kind.items())
    line = (
        f"held out {result.psnr:.2f} dB, blending {result.blend:.2f}; gain: {gains}; still {result.still_error:.2f}/255"
    )
    print(f"step {trainer.step}: {line}", file=sys.stderr, flush=True)
    row = {
        "step": trainer.step,
        "rate": trainer.rate(),
        **means,
        "heldout": result.psnr,
        "heldout_blend": result.blend,
        "still_error": result.still_error,
    }
    curve = settings.out / "curve.csv"
    fresh = not curve.exists()
    with curve.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    rows = [torch.cat([*images[:4].clamp(0, 1)], 2) for images in (sample.first, sample.truth, image, sample.second)]
    save_png(settings.out / f"sample-{trainer.step:06d}.png", torch.cat(rows, 1).cpu().numpy())
    if result.psnr > trainer.best:
        trainer.best = result.psnr
        trainer.save(settings.out / "best.pt")
    trainer.save(settings.out / "last.pt")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the packaged model from procedural samples.")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints, curve and sample images (git ignores out/)"
    )
    for name, kind in (
        ("steps", int),
        ("seed", int),
        ("batch", int),
        ("size", int),
        ("rate", float),
        ("every", int),
        ("device", str),
        ("decay-from", float),
        ("minutes", float),
        ("ease", float),
        ("width", int),
        ("warmup", int),
        ("averaging", float),
        ("flow-weight", float),
        ("deviation-weight", float),
        ("census-weight", float),
        ("sharpness-weight", float),
        ("far", float),
        ("until", int),
        ("backgrounds", int),
        ("sprites", int),
    ):
        default = Settings.__dataclass_fields__[name.replace("-", "_")].default
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"default {default}")
    parser.add_argument("--weights", type=Path, help="a safetensors file of weights to begin with")
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), default="uprnet")
    parser.add_argument(
        "--adam", action="store_true", help="AdamW for all weights instead of Muon for those of convolutions"
    )
    parser.add_argument(
        "--scenery",
        type=Path,
        metavar="FILE",
        help="also text, periodic things, drawings, fast and many movers; their textures are rendered into this file",
    )
    parser.add_argument("--full-precision", action="store_true", help="no bfloat16")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile for blocks of layers (needs a C++ compiler on a CPU, Triton on CUDA)",
    )
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its choice")
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    given = vars(parser.parse_args(arguments))
    if given["width"] and given["architecture"] not in ("uprnet", "fine"):
        parser.error(f"--width {given['width']} is for --architecture uprnet; leave it out")
    resume, threads, half, muon = (
        given.pop("resume"),
        given.pop("threads"),
        not given.pop("full_precision"),
        not given.pop("adam"),
    )
    if threads:
        torch.set_num_threads(threads)
    if "WORLD_SIZE" in os.environ:  # under torchrun
        if given["device"] == "cuda":  # a GPU for each process
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group("nccl" if given["device"] == "cuda" else "gloo")
    train(Settings(**given, half=half, muon=muon), resume=resume)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
