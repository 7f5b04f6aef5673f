"""Render training samples with lettering, thin periodic things, drawn figures, and fast or many movers.

Each batch is one kind of scene; what cameras and codecs add, and the exact flows, are those of `scripts.train.data`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.bank import SPRITES, Bank
from scripts.train.data import Drawing, Layer, Motion, Sample
from scripts.train.scenery import drawings, lettering

KINDS = ("plain", "text", "fast", "periodic", "drawn", "crowd", "restless")
SHARES = (0.3, 0.3, 0.14, 0.1, 0.1, 0.06, 0.1)
"""How often each kind is drawn."""
_SHUTTER = 5
"""Moments that motion blur averages."""


@dataclass(frozen=True, slots=True)
class Scenery:
    """Textures of all kinds in 8 bits: a bank, strips of text, periodic layers, cel parts, flat backgrounds."""

    bank: Bank
    strips: Tensor
    periodic: Tensor
    parts: tuple[Tensor, Tensor]
    flat: Tensor

    @classmethod
    def drawn(cls, seed: int, backgrounds: int, sprites: int) -> Scenery:
        """Render the textures of a seed; `backgrounds` and `sprites` count those of the bank and set the others."""
        random = np.random.default_rng((0x5CE2, seed))
        bank = Bank.drawn(seed, backgrounds, sprites)
        parts = drawings.tensor([drawings.part(random) for _ in range(sprites)])
        return cls(
            Bank(_bytes(bank.backgrounds), tuple(_bytes(size) for size in bank.sprites)),
            _bytes(lettering.strips(random, sprites)),
            _bytes(drawings.tensor([drawings.periodic(random) for _ in range(backgrounds)])),
            (_bytes(parts), _bytes(drawings.halved(parts))),
            _bytes(drawings.tensor([drawings.flat_background(random) for _ in range(backgrounds)])),
        )

    @classmethod
    def stored(cls, path: Path, seed: int, backgrounds: int, sprites: int) -> Scenery:
        """Read textures from a file, which is rendered and written first if it is missing.

        Raises:
            ValueError: the file holds textures of another seed or of other counts.
        """
        wanted = {"seed": seed, "backgrounds": backgrounds, "sprites": sprites}
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f"{path.name}.{os.getpid()}.part")
            torch.save({**wanted, "textures": cls.drawn(**wanted)._state()}, beside)
            beside.replace(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: state[name] for name in wanted}
        if found != wanted:
            raise ValueError(f"Scenery.stored: path={path} holds {found}, not {wanted}; name another file")
        textures = state["textures"]
        bank = Bank(textures["backgrounds"], tuple(textures["sprites"]))
        return cls(bank, textures["strips"], textures["periodic"], tuple(textures["parts"]), textures["flat"])

    def _state(self) -> dict[str, Tensor | list[Tensor]]:
        others: dict[str, Tensor | list[Tensor]] = {
            "strips": self.strips,
            "periodic": self.periodic,
            "parts": list(self.parts),
            "flat": self.flat,
        }
        return {"backgrounds": self.bank.backgrounds, "sprites": list(self.bank.sprites), **others}

    def to(self, device: torch.device) -> Scenery:
        parts = (self.parts[0].to(device), self.parts[1].to(device))
        return Scenery(
            self.bank.to(device), self.strips.to(device), self.periodic.to(device), parts, self.flat.to(device)
        )


def _bytes(textures: Tensor) -> Tensor:
    """Textures in [0, 1] in a quarter of the memory."""
    return (textures * 255).round().byte()


@dataclass(slots=True)
class Squashed(Motion):
    """A motion that also squashes: along x by exp(squash * (time - 1/2)), along y by the inverse."""

    squash: Tensor

    def to_layer(self, x: Tensor, y: Tensor, time: Tensor | float) -> tuple[Tensor, Tensor]:
        u, v = Motion.to_layer(self, x, y, time)
        factor = torch.exp(self.squash * (time - 0.5))
        return u / factor, v * factor

    def to_image(self, u: Tensor, v: Tensor, time: Tensor | float) -> tuple[Tensor, Tensor]:
        factor = torch.exp(self.squash * (time - 0.5))
        return Motion.to_image(self, u * factor, v / factor, time)


@dataclass(frozen=True, slots=True)
class Strip(Layer):
    """A layer that is `aspect` times as high as wide."""

    aspect: float = 1.0

    def drawn(self, places: tuple[Tensor, Tensor]) -> Tensor:
        grid = torch.stack((places[0] / self.extent, places[1] / (self.extent * self.aspect)), -1)
        return functional.grid_sample(self.textures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class SceneryRenderer:
    """Draws batches; one seed gives one sequence of batches.

    Args:
        scenery: textures; everything is rendered on their device.
        batch: samples per batch.
        size: (width, height) of the images.
        seed: of all random choices.
        kinds: of scenes, with the share of each; the default is `KINDS` and `SHARES`.
    """

    def __init__(
        self,
        scenery: Scenery,
        batch: int,
        size: tuple[int, int],
        seed: int,
        kinds: dict[str, float] | None = None,
    ) -> None:
        self._scenery, self._batch, self._size, self._seed = scenery, batch, size, seed
        self._kinds = kinds or dict(zip(KINDS, SHARES, strict=True))

    def draw(self, step: int, reach: float = 1.0) -> Sample:
        """Render the batch of a step, displacements multiplied by `reach`; it depends on seed, step and reach alone."""
        random = torch.Generator().manual_seed((self._seed << 32) + step)
        shares = torch.tensor(list(self._kinds.values()))
        kind = list(self._kinds)[int(torch.multinomial(shares, 1, generator=random))]
        return _Scene(self._scenery, kind, self._batch, self._size, random, reach).sample(None)


class _Scene(Drawing):
    """State of one batch of a kind during rendering."""

    def __init__(
        self,
        scenery: Scenery,
        kind: str,
        batch: int,
        size: tuple[int, int],
        random: torch.Generator,
        reach: float,
    ) -> None:
        device = scenery.bank.backgrounds.device
        super().__init__(scenery.bank, batch, *size, random, device, reach)
        self.scenery, self.kind = scenery, kind
        self.blurs = {"fast": 0.6, "crowd": 0.2}.get(kind, 0.12)

    def one(self) -> float:
        """Draw one number of [0, 1) for the whole batch."""
        return float(torch.rand(1, generator=self.random))

    def recolour(self, textures: Tensor) -> Tensor:
        return Drawing.recolour(self, textures.float() / 255)

    def pick(self, textures: Tensor) -> Tensor:
        """Draw a texture for every sample, recoloured."""
        index = torch.randint(len(textures), (self.batch,), generator=self.random)
        return self.recolour(textures[index.to(self.device)])

    def layers(self) -> tuple[tuple[Tensor, Tensor], list[Layer]]:
        if self.kind in ("plain", "fast", "crowd", "text", "restless") and (self.kind != "crowd" or self.one() < 0.5):
            camera, found = Drawing.layers(self)
        else:
            camera, found = self.ground()
        if self.kind == "text":
            if self.one() < 0.5:  # captions stand over a still ground as often
                still = self.chance(0.6)
                for layer in found:
                    self.calm(layer.motion, 1 - still)
                camera = (camera[0] * (1 - still), camera[1] * (1 - still))
            for _ in range(1 + int(2 * self.one())):
                found += self.text(camera)
        if self.kind == "fast":
            found += [self.mover() for _ in range(1 + int(2 * self.one()))]
        if self.kind == "restless":
            for layer in found:
                self.stir(layer.motion)
        if self.kind == "periodic":
            found.insert(1 + int(self.one() * len(found)), self.grid(camera))
        if self.kind == "drawn":
            for _ in range(1 + int(2 * self.one())):
                found += self.figure(camera)
        if self.kind == "crowd":
            found += [self.small(camera) for _ in range(10 + int(14 * self.one()))]
        if self.kind != "text" and self.one() < 0.06:
            found += self.text(camera)
        return camera, found

    @staticmethod
    def calm(motion: Motion, part: Tensor) -> None:
        """Scale down a motion."""
        motion.x = motion.x + (1 - part) * motion.velocity_x / 2
        motion.y = motion.y + (1 - part) * motion.velocity_y / 2
        for name in ("velocity_x", "velocity_y", "bend_x", "bend_y", "spin", "growth", "speed"):
            setattr(motion, name, getattr(motion, name) * part)

    def stir(self, motion: Motion) -> None:
        """Let a layer bend like cloth, fur or water: waves that travel through it, turning and growing."""
        motion.wave = self.uniform(0.02, 0.1) * 2 * math.pi / motion.frequency
        motion.speed = self.normal(1.2)
        motion.spin = motion.spin + self.chance(0.5) * self.normal(0.12)
        motion.growth = motion.growth + self.chance(0.5) * self.normal(0.08)

    def ground(self) -> tuple[tuple[Tensor, Tensor], list[Layer]]:
        """Draw a flat background, or a textured one in a quarter of the batches, and perhaps one sprite."""
        moving = 1 - self.chance(0.35)
        shift = self.displacement(0.1)
        camera = (moving * shift[0], moving * shift[1])
        middle = (self.width / 2 + self.uniform(-20, 20), self.height / 2 + self.uniform(-20, 20))
        motion = self.motion(middle, camera, 1.0, self.uniform(-0.1, 0.2), moving)
        motion.spin = motion.spin * 0.3
        flat = self.one() < (0.85 if self.kind == "drawn" else 0.3)
        textures = self.pick(self.scenery.flat if flat else self.bank.backgrounds)
        return camera, [Layer(textures, motion, textures.shape[-1] / 2 / self.uniform(1.0, 2.0))]

    def straight(
        self, place: tuple[Tensor, Tensor], velocity: tuple[Tensor, Tensor], angle: Tensor, spin: Tensor
    ) -> Motion:
        """A rigid motion that is at a place at time 1/2."""
        zero = torch.zeros_like(angle)
        return Motion(
            x=place[0] - velocity[0] / 2,
            y=place[1] - velocity[1] / 2,
            velocity_x=velocity[0],
            velocity_y=velocity[1],
            bend_x=zero,
            bend_y=zero,
            angle=angle - spin / 2,
            spin=spin,
            zoom=zero,
            growth=zero,
            wave=zero,
            frequency=zero + 0.05,
            phase=zero,
            speed=zero,
        )

    def text(self, camera: tuple[Tensor, Tensor]) -> list[Layer]:
        """A strip of text with its own motion over the screen: ticker, credits, caption; or a sign in the scene."""
        speed = torch.exp(self.uniform(0, math.log(24.0))) * self.reach
        sideways, sign = self.chance(0.75), 2 * self.chance(0.5) - 1
        whole = self.chance(0.4)  # the speeds of most tickers are whole or half pixels
        speed = torch.where(whole > 0, speed.round().clamp(min=1), speed)
        rests, of_scene = self.chance(0.12), self.chance(0.15)
        slant = self.chance(0.1) * self.normal(0.15)
        velocity_x = speed * sign * (sideways + (1 - sideways) * slant) * (1 - rests)
        velocity_y = speed * sign * ((1 - sideways) + sideways * slant) * (1 - rests)
        velocity = (
            torch.where(of_scene > 0, camera[0], velocity_x),
            torch.where(of_scene > 0, camera[1], velocity_y),
        )
        textures = self.pick(self.scenery.strips)
        opacity = 1 - self.chance(0.12) * self.uniform(0.1, 0.5)
        height, width = lettering.STRIP
        room = (width - self.width) / 2
        place = (self.width / 2 + self.uniform(-max(room, 40), max(room, 40)), self.uniform(0.1, 0.9) * self.height)
        turned = self.chance(0.08) * self.normal(0.3)
        motion = self.straight(place, velocity, turned, 0 * turned)
        extent = width / 2 * torch.where(self.chance(0.3) > 0, self.uniform(0.7, 1.3), torch.ones_like(speed))
        found: list[Layer] = []
        if self.one() < 0.3:  # a bar that stands still behind what moves along it
            colour = self.uniform(0, 1)[..., None].expand(-1, 3, -1, -1)
            strength = self.chance(0.5) * 0.5 + 0.5
            bar = torch.cat((colour, torch.ones_like(colour[:, :1])), 1) * strength[..., None]
            still = self.straight((place[0], place[1]), (0 * speed, 0 * speed), turned, 0 * turned)
            found.append(Strip(bar.expand(-1, -1, 8, 8), still, extent * 2, height / width / 2))
        found.append(Strip(textures * opacity[..., None], motion, extent, height / width))
        return found

    def mover(self) -> Layer:
        """A thing that turns, squashes and moves by up to a sixth of the image, or 60 pixels."""
        level = int(3 * self.one())
        sprites = self.bank.sprites[level] if self.one() < 0.6 else self.scenery.parts[min(level, 1)]
        size = self.uniform(0.02, 0.11) * self.width + 5
        pace = self.uniform(0.06, 0.28) * self.width * min(1.0, self.reach)
        angle = self.uniform(0, 2 * math.pi)
        place = (self.uniform(0.15, 0.85) * self.width, self.uniform(0.15, 0.85) * self.height)
        velocity = (pace * torch.cos(angle), pace * torch.sin(angle))
        spin = self.chance(0.6) * self.normal(0.35)
        plain = self.straight(place, velocity, self.uniform(-math.pi, math.pi), spin)
        plain.bend_y = self.chance(0.4) * self.normal(0.12) * pace
        plain.growth = self.chance(0.4) * self.normal(0.08)
        motion = Squashed(
            **{name: getattr(plain, name) for name in Motion.__slots__}, squash=self.chance(0.5) * self.normal(0.25)
        )
        return Layer(self.pick(sprites), motion, 1.4 * size)

    def grid(self, camera: tuple[Tensor, Tensor]) -> Layer:
        """Bars, blinds, a fence or windows, moving with the camera or on their own, mostly by less than a period."""
        own = self.displacement(0.2)
        tied, share = self.chance(0.5), self.uniform(0.1, 1)
        velocity = (
            torch.where(tied > 0, camera[0], share * own[0]),
            torch.where(tied > 0, camera[1], share * own[1]),
        )
        textures = self.pick(self.scenery.periodic)
        place = (self.uniform(0.2, 0.8) * self.width, self.uniform(0.2, 0.8) * self.height)
        motion = self.straight(
            place, velocity, self.chance(0.3) * self.normal(0.3), self.chance(0.2) * self.normal(0.01)
        )
        return Layer(textures, motion, textures.shape[-1] / 2 * self.uniform(0.5, 1.3))

    def figure(self, camera: tuple[Tensor, Tensor]) -> list[Layer]:
        """A drawn body with limbs and a head, each of which turns about its joint."""
        own = self.displacement(0.25)
        velocity = (camera[0] + own[0], camera[1] + own[1])
        place = (self.uniform(0.15, 0.85) * self.width, self.uniform(0.2, 0.8) * self.height)
        size = self.uniform(0.06, 0.2) * self.width + 8
        found = []
        for index in range(3 + int(4 * self.one())):
            around, away = self.uniform(0, 2 * math.pi), (0.0 if index == 0 else 0.8) * size
            swing = self.normal(0.25) * (1 if index else 0.2)
            # a joint's arc is straight within a gap: its middle moves by the arm times the turn
            arm = 0.5 * away * swing
            moved = (velocity[0] - arm * torch.sin(around), velocity[1] + arm * torch.cos(around))
            there = (place[0] + away * torch.cos(around), place[1] + away * torch.sin(around))
            share = self.uniform(0.5, 1.0) if index else torch.ones_like(around)
            level = 0 if float(size.mean()) > 35 else 1
            motion = self.straight(there, moved, self.uniform(-math.pi, math.pi), swing)
            found.append(Layer(self.pick(self.scenery.parts[level]), motion, size * share))
        return found

    def small(self, camera: tuple[Tensor, Tensor]) -> Layer:
        """One of many small movers."""
        own = self.displacement(0.1)
        velocity = (camera[0] + 0.35 * own[0], camera[1] + 0.35 * own[1])
        place = (self.uniform(0, 1) * self.width, self.uniform(0, 1) * self.height)
        textures = self.pick(self.bank.sprites[len(SPRITES) - 1] if self.one() < 0.7 else self.scenery.parts[1])
        motion = self.straight(place, velocity, self.uniform(-math.pi, math.pi), self.normal(0.1))
        return Layer(textures, motion, self.uniform(5, 0.09 * self.width + 6))

    def smeared(
        self, layers: list[Layer], times: list[Tensor], camera: tuple[Tensor, Tensor], images: list[Tensor]
    ) -> list[Tensor]:
        """Add motion blur; things that move fast are blurred over the whole shutter."""
        if self.kind not in ("fast", "crowd"):
            return Drawing.smeared(self, layers, times, camera, images)
        span = self.uniform(0.05, 0.5)
        result = []
        for time in times:
            moments = [time + (index / (_SHUTTER - 1) - 0.5) * span for index in range(_SHUTTER)]
            placed = [[layer.motion.to_layer(self.x, self.y, moment) for layer in layers] for moment in moments]
            result.append(torch.stack([self.composite(layers, places)[0] for places in placed]).mean(0))
        return result
