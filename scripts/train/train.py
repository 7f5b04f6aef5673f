"""Trains the packaged model from procedural samples: one command, seeded, resumable.

    python -m scripts.train.train --out out/builtin --steps 6000
    python -m scripts.train.train --out out/builtin --steps 6000 --resume

Writes into the folder `--out`: `last.pt` (everything needed to go on), `best.pt` (the averaged weights with the best held-out score), `curve.csv`,
`sample-*.png`. Progress goes to stderr. A resumed run continues bit for bit on the same machine with the same number of threads.
"""

from __future__ import annotations

import argparse
import copy
import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from scripts.train.bank import Bank
from scripts.train.data import Renderer, Sample
from scripts.train.heldout import Score, score
from scripts.train.loss import losses
from scripts.train.picture import write_png
from vsvfi.models.ifrnet.network import IFRNet, ResidualBlock

WIDTHS = (16, 32, 48, 64)
SIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run does. Learning rate: rises during `warmup` steps, stays, and falls to zero from `decay_from` * `steps` on."""

    out: Path
    steps: int = 6000
    seed: int = 1
    batch: int = 8
    size: int = 128
    rate: float = 1e-3
    warmup: int = 200
    decay_from: float = 0.55
    averaging: float = 0.998
    backgrounds: int = 128
    sprites: int = 160
    every: int = 250
    device: str = "cpu"
    half: bool = True
    widths: tuple[int, int, int, int] = WIDTHS
    side: int = SIDE
    heldout: int = 4


def fresh_network(widths: tuple[int, int, int, int] = WIDTHS, side: int = SIDE) -> IFRNet:
    """A network that begins as frame blending (no flow, mask 1/2, no residual) and whose features keep their size from layer to layer.

    torch's own initial weights shrink features by about 0.6 in each layer, which delays the first useful flow by thousands of steps.
    """
    network = IFRNet(widths, side)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, ResidualBlock):
                module.conv5.weight *= 0.3
        for decoder in (network.decoder4, network.decoder3, network.decoder2, network.decoder1):
            last = decoder.convblock.get_submodule("2")
            assert isinstance(last, nn.ConvTranspose2d)
            nn.init.normal_(last.weight, std=(last.in_channels * 4) ** -0.5)  # four taps of the kernel reach each output
            last.weight[:, : 8 if decoder is network.decoder1 else 4] = 0
    return network


class Trainer:
    """A network, its running average, the optimiser, and how far they are."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = torch.device(settings.device)
        self.network = fresh_network(settings.widths, settings.side).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: IFRNet = copy.deepcopy(self.network).eval()
        decayed = [weight for weight in self.network.parameters() if weight.ndim > 1]
        others = [weight for weight in self.network.parameters() if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.rate, betas=(0.9, 0.99))
        self.step = 0
        self.best = float("-inf")
        bank = Bank.drawn(settings.seed, settings.backgrounds, settings.sprites).to(self.device)
        self.renderer = Renderer(bank, settings.batch, (settings.size, settings.size), settings.seed)

    def rate(self) -> float:
        """Learning rate of this step."""
        part, start = self.step / max(self.settings.steps, 1), self.settings.decay_from
        fall = min(1.0, max(0.0, (1 - part) / (1 - start)))
        return self.settings.rate * min(1.0, (self.step + 1) / self.settings.warmup) * max(fall, 0.005)

    def flow_weight(self) -> float:
        """Flows lead at the start, the picture at the end."""
        return 0.04 * max(0.1, 1 - self.step / (0.7 * self.settings.steps))

    def advance(self) -> tuple[dict[str, float], Sample, torch.Tensor]:
        """One step: the parts of the loss, the batch, and the pictures made."""
        sample = self.renderer.draw(self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half):
            total, parts, picture = losses(self.network, sample, self.flow_weight())
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), 1.0))
        if norm == norm and norm != float("inf"):
            self.optimiser.step()
        self.step += 1
        keep = min(self.settings.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        return {"total": float(total.detach()), **parts, "norm": norm}, sample, picture.detach()

    def save(self, path: Path) -> None:
        """Everything needed to go on, atomically."""
        state = {
            "step": self.step,
            "best": self.best,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
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
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = state["step"], state["best"]


def train(settings: Settings, *, resume: bool = False) -> Trainer:
    """Run to `settings.steps`, reporting and saving every `settings.every` steps."""
    settings.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings)
    if resume:
        trainer.restore(settings.out / "last.pt")
    sums: dict[str, float] = {}
    began, since = time.monotonic(), trainer.step
    while trainer.step < settings.steps:
        parts, sample, picture = trainer.advance()
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + value
        if trainer.step % 50 == 0:
            pace = (time.monotonic() - began) / max(1, trainer.step - since)
            print(f"step {trainer.step}/{settings.steps}  loss {parts['total']:.4f}  flow {parts['flow']:.2f}  {pace:.2f} s/step", file=sys.stderr, flush=True)
        if trainer.step % settings.every == 0 or trainer.step == settings.steps:
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
    row = {"step": trainer.step, "rate": trainer.rate(), **means, "heldout": result.psnr, "blend": result.blend, "still_error": result.still_error}
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
    for name, kind in (("steps", int), ("seed", int), ("batch", int), ("size", int), ("rate", float), ("every", int), ("device", str), ("decay-from", float)):
        default = Settings.__dataclass_fields__[name.replace("-", "_")].default
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"default {default}")
    parser.add_argument("--full-precision", action="store_true", help="no bfloat16")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its choice")
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    given = vars(parser.parse_args(arguments))
    resume, threads, half = given.pop("resume"), given.pop("threads"), not given.pop("full_precision")
    if threads:
        torch.set_num_threads(threads)
    train(Settings(**given, half=half), resume=resume)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
