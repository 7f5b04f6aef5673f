"""Trains the packaged model from procedural samples: one command, seeded, resumable.

    python -m scripts.train.train --out out/builtin --steps 6000
    python -m scripts.train.train --out out/builtin --steps 6000 --resume

    torchrun --nproc-per-node 2 -m scripts.train.train --out out/builtin --threads 1      # two single-threaded processes use two cores best

Writes into the folder `--out`: `last.pt` (everything needed to go on), `best.pt` (the averaged weights with the best held-out score), `curve.csv`,
`sample-*.png`. Progress goes to stderr. A resumed run continues bit for bit on the same machine with the same number of threads.
"""

from __future__ import annotations

import argparse
import copy
import csv
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed, nn

from scripts.train.bank import Bank
from scripts.train.data import Renderer, Sample
from scripts.train.heldout import Score, score
from scripts.train.loss import losses
from scripts.train.optimiser import Muon
from scripts.train.picture import write_png
from vsvfi.models.ifrnet.network import Decoder, IFRNet, ResidualBlock

WIDTHS = (16, 32, 48, 64)
SIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run does.

    The learning rate rises during `warmup` steps, stays, and falls to zero from the share `decay_from` of the run on. During the first share `ease` samples
    are of half the size, twice as many, and move less. The run lasts `steps`, or `minutes` where given (then it is not reproducible bit for bit).
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
    widths: tuple[int, int, int, int] = WIDTHS
    side: int = SIDE
    heldout: int = 4


def fresh_network(widths: tuple[int, int, int, int] = WIDTHS, side: int = SIDE) -> IFRNet:
    """A network that begins as frame blending (no flow, mask about 1 - t, no residual) and whose features keep their size from layer to layer.

    torch's own initial weights shrink features by about 0.6 in each layer, which delays the first useful flow by thousands of steps.
    """
    network = IFRNet(widths, side)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, nn.PReLU):
                # slopes of both signs: comparing two frames needs even functions, from which plain rectifiers are slow to build one
                module.weight.uniform_(-0.7, 0.7)
            if isinstance(module, ResidualBlock):
                module.conv5.weight *= 0.3
        for decoder in (network.decoder4, network.decoder3, network.decoder2, network.decoder1):
            _compare_frames(decoder, coarsest=decoder is network.decoder4)
            last = decoder.convblock.get_submodule("2")
            assert isinstance(last, nn.ConvTranspose2d)
            nn.init.normal_(last.weight, std=(last.in_channels * 4) ** -0.5)  # four taps of the kernel reach each output
            last.weight[:, : 8 if decoder is network.decoder1 else 4] = 0
            _carry_time(decoder, coarsest=decoder is network.decoder4, finest=decoder is network.decoder1)
    return network


def _compare_frames(decoder: Decoder, *, coarsest: bool) -> None:
    """Let a third of the first convolution see the sum of both frames' features, a third their difference."""
    first = decoder.convblock.get_submodule("0.0")
    assert isinstance(first, nn.Conv2d)
    width = (first.in_channels - 1) // 2 if coarsest else (first.in_channels - 4) // 3
    start = 0 if coarsest else width
    third = first.out_channels // 3
    one, two = slice(start, start + width), slice(start + width, start + 2 * width)
    first.weight[:third, two] = first.weight[:third, one]
    first.weight[third : 2 * third, two] = -first.weight[third : 2 * third, one]


def _carry_time(decoder: Decoder, *, coarsest: bool, finest: bool) -> None:
    """Reserve one channel that brings t unchanged to every level, and to the mask, which so begins near 1 - t."""
    first, block, last = decoder.convblock.get_submodule("0.0"), decoder.convblock.get_submodule("1"), decoder.convblock.get_submodule("2")
    activation = decoder.convblock.get_submodule("0.1")
    assert isinstance(first, nn.Conv2d)
    assert isinstance(activation, nn.PReLU)
    assert isinstance(block, ResidualBlock)
    assert isinstance(last, nn.ConvTranspose2d)
    assert last.bias is not None
    first.weight[0] = 0
    first.weight[0, -1 if coarsest else 0, 1, 1] = 1
    block.conv5.weight[0] = 0
    if finest:
        last.weight[0, 4] = -4 / 4  # the logit of 1 - t is about 4 (1/2 - t)
        last.bias[4] = 2
    else:
        last.weight[:, 4] = 0
        last.weight[0, 4] = 1 / 4


class Trainer:
    """A network, its running average, the optimiser, and how far they are."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(settings.device)
        self.network = fresh_network(settings.widths, settings.side).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: IFRNet = copy.deepcopy(self.network).eval()
        outputs = {id(decoder.convblock.get_submodule("2").weight) for decoder in self.network.modules() if isinstance(decoder, Decoder)}
        matrices = [weight for weight in self.network.parameters() if weight.ndim > 1 and id(weight) not in outputs and settings.muon]
        chosen = {id(weight) for weight in matrices}
        others = [weight for weight in self.network.parameters() if id(weight) not in chosen]
        self.optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.0)]
        if matrices:
            self.optimisers.append(Muon(matrices, lr=settings.rate))
        self.step = 0
        self.best = float("-inf")
        bank = Bank.drawn(settings.seed, settings.backgrounds, settings.sprites).to(self.device)
        self.workers = distributed.get_world_size() if distributed.is_initialized() else 1
        self.worker = distributed.get_rank() if distributed.is_initialized() else 0
        batch = max(1, settings.batch // self.workers)
        self.renderer = Renderer(bank, batch, (settings.size, settings.size), settings.seed)
        self.easy = Renderer(bank, 2 * batch, (settings.size // 2, settings.size // 2), settings.seed)
        self.elapsed = 0.0  # seconds of training, over all resumed parts

    def progress(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.settings.minutes:
            return self.elapsed / (60 * self.settings.minutes)
        return self.step / max(self.settings.steps, 1)

    def rate(self) -> float:
        """Learning rate of this step."""
        part, start = self.progress(), self.settings.decay_from
        fall = min(1.0, max(0.0, (1 - part) / (1 - start)))
        return self.settings.rate * min(1.0, (self.step + 1) / self.settings.warmup) * max(fall, 0.005)

    def flow_weight(self) -> float:
        """Flows lead at the start, the picture at the end."""
        return 0.02 * max(0.1, 1 - self.progress() / 0.8)

    def advance(self) -> tuple[dict[str, float], Sample, torch.Tensor]:
        """One step: the parts of the loss, the batch, and the pictures made."""
        began = time.monotonic()
        progress, ease = self.progress(), self.settings.ease
        reach = min(1.0, 0.3 + 0.7 * progress / ease) if ease else 1.0
        sample = (self.easy if progress < ease else self.renderer).draw(self.step * self.workers + self.worker, reach)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half):
            total, parts, picture = losses(self.network, sample, self.flow_weight())
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
        return {"total": float(total.detach()), **parts, "norm": norm}, sample, picture.detach()

    def _shared(self, elapsed: float) -> float:
        """Average the gradients, and a clock, over all processes."""
        if self.workers == 1:
            return elapsed
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), torch.tensor([elapsed], device=self.device)])
        distributed.all_reduce(flat)
        flat /= self.workers
        for gradient, part in zip(gradients, torch.split(flat[:-1], [gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(flat[-1])

    def save(self, path: Path) -> None:
        """Everything needed to go on, atomically."""
        state = {
            "step": self.step,
            "best": self.best,
            "elapsed": self.elapsed,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "seed": self.settings.seed,
            "widths": self.settings.widths,
            "side": self.settings.side,
        }
        beside = path.with_suffix(".part")
        torch.save(state, beside)
        beside.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a file of `save`."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.best, self.elapsed = state["step"], state["best"], state["elapsed"]


def train(settings: Settings, *, resume: bool = False) -> Trainer:
    """Run to `settings.steps`, reporting and saving every `settings.every` steps."""
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings)
    if resume:
        trainer.restore(settings.out / "last.pt")
    sums: dict[str, float] = {}
    began, since = time.monotonic(), trainer.step
    while trainer.progress() < 1:
        parts, sample, picture = trainer.advance()
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value
        if trainer.step % 50 == 0 and trainer.worker == 0:
            pace = (time.monotonic() - began) / max(1, trainer.step - since)
            shown = "  ".join(f"{name} {value / max(1, trainer.step % settings.every or settings.every):.4f}" for name, value in sums.items())
            print(f"step {trainer.step} ({trainer.progress():.0%})  {shown}  {pace:.2f} s/step", file=sys.stderr, flush=True)
        if trainer.step % settings.every == 0 or trainer.progress() >= 1:
            if trainer.worker == 0:
                _report(trainer, {name: value / settings.every for name, value in sums.items()}, sample, picture)
            sums = {}
    return trainer


def _report(trainer: Trainer, means: dict[str, float], sample: Sample, picture: torch.Tensor) -> None:
    """Score, curve, sample picture, checkpoints."""
    settings = trainer.settings
    result: Score = score(trainer.average, settings.heldout)
    gains = "  ".join(f"{kind} {gain:+.2f}" for kind, gain in result.by_kind.items())
    line = f"held out {result.psnr:.2f} dB, blending {result.blend:.2f}; gain: {gains}; still {result.still_error:.2f}/255"
    print(f"step {trainer.step}: {line}", file=sys.stderr, flush=True)
    row = {"step": trainer.step, "rate": trainer.rate(), **means, "heldout": result.psnr, "heldout_blend": result.blend, "still_error": result.still_error}
    curve = settings.out / "curve.csv"
    fresh = not curve.exists()
    with curve.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    rows = [torch.cat([*images[:4].clamp(0, 1)], 2) for images in (sample.first, sample.truth, picture, sample.second)]
    write_png(settings.out / f"sample-{trainer.step:06d}.png", torch.cat(rows, 1).cpu().numpy())
    if result.psnr > trainer.best:
        trainer.best = result.psnr
        trainer.save(settings.out / "best.pt")
    trainer.save(settings.out / "last.pt")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the packaged model from procedural samples.")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, curve and sample pictures (git ignores out/)")
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
    ):
        default = Settings.__dataclass_fields__[name.replace("-", "_")].default
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"default {default}")
    parser.add_argument("--adam", action="store_true", help="AdamW for all weights instead of Muon for those of convolutions")
    parser.add_argument("--full-precision", action="store_true", help="no bfloat16")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its choice")
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    given = vars(parser.parse_args(arguments))
    resume, threads, half, muon = given.pop("resume"), given.pop("threads"), not given.pop("full_precision"), not given.pop("adam")
    if threads:
        torch.set_num_threads(threads)
    if "WORLD_SIZE" in os.environ:  # under torchrun
        distributed.init_process_group("nccl" if given["device"] == "cuda" else "gloo")
    train(Settings(**given, half=half, muon=muon), resume=resume)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
