"""Render batches of training samples: two frames, the exact frame at a random t, and the exact flows.

Each sample is a background and sprites of a `Bank`, each with an affine motion and a travelling wave that is invertible
in closed form. Positions are in pixels; times are 0 (first), t and 1 (second). What a camera and a codec add is in
`recording`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scripts.train.bank import SPRITES, Bank
from scripts.train.recording import halved_colour, quantised


@dataclass(frozen=True, slots=True)
class Sample:
    """A batch of images in [0, 1], times, and exact flows in pixels, x then y.

    Attributes:
        first, second, truth: [B, 3, H, W].
        t: [B].
        flow: [B, 4, H, W], from t to the first frame and to the second.
        motion: [B, 4, H, W], from the first frame to the second and back.
        still: [B] bool, where nothing moves.
    """

    first: Tensor
    second: Tensor
    truth: Tensor
    t: Tensor
    flow: Tensor
    motion: Tensor
    still: Tensor

    def to(self, device: torch.device) -> Sample:
        return Sample(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


@dataclass(slots=True)
class Motion:
    """Motions of one layer, one per sample; every member [B, 1, 1]."""

    x: Tensor
    y: Tensor
    velocity_x: Tensor
    velocity_y: Tensor
    bend_x: Tensor
    bend_y: Tensor
    angle: Tensor
    spin: Tensor
    zoom: Tensor
    growth: Tensor
    wave: Tensor
    frequency: Tensor
    phase: Tensor
    speed: Tensor

    def _turn(self, time: Tensor | float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        bent = time * (time - 1)
        x, y = (
            self.x + self.velocity_x * time + self.bend_x * bent,
            self.y + self.velocity_y * time + self.bend_y * bent,
        )
        angle, zoom = self.angle + self.spin * time, torch.exp(self.zoom + self.growth * time)
        return x, y, torch.cos(angle), torch.sin(angle), zoom

    def to_layer(self, x: Tensor, y: Tensor, time: Tensor | float) -> tuple[Tensor, Tensor]:
        left, top, cosine, sine, zoom = self._turn(time)
        a, b = (x - left) / zoom, (y - top) / zoom
        u, v = cosine * a + sine * b, cosine * b - sine * a
        v = v - self.wave * torch.sin(u * self.frequency + (self.phase + self.speed * time))
        u = u - self.wave * torch.sin(v * self.frequency + (self.phase - self.speed * time))
        return u, v

    def to_image(self, u: Tensor, v: Tensor, time: Tensor | float) -> tuple[Tensor, Tensor]:
        u = u + self.wave * torch.sin(v * self.frequency + (self.phase - self.speed * time))
        v = v + self.wave * torch.sin(u * self.frequency + (self.phase + self.speed * time))
        left, top, cosine, sine, zoom = self._turn(time)
        return (cosine * u - sine * v) * zoom + left, (sine * u + cosine * v) * zoom + top


@dataclass(frozen=True, slots=True)
class Layer:
    """Textures [B, 3 or 4, s, s] with their motions.

    `extent` [B, 1, 1] is the distance in pixels from the middle of a texture to its border.
    """

    textures: Tensor
    motion: Motion
    extent: Tensor

    def drawn(self, places: tuple[Tensor, Tensor]) -> Tensor:
        """Sample the texture at layer positions.

        A background is continued beyond its border, a sprite ends there.
        """
        grid = torch.stack((places[0] / self.extent, places[1] / self.extent), -1)
        beyond = "zeros" if self.textures.shape[1] == 4 else "reflection"
        return functional.grid_sample(self.textures, grid, mode="bilinear", padding_mode=beyond, align_corners=False)


class Renderer:
    """Draws batches from a bank; one seed gives one sequence of batches.

    Args:
        bank: textures; everything is rendered on its device.
        batch: samples per batch.
        size: (width, height) of the images.
        seed: of all random choices.
        time: of the frame between; None for any.
    """

    def __init__(self, bank: Bank, batch: int, size: tuple[int, int], seed: int, time: float | None = None) -> None:
        self._bank = bank
        self._time = time
        self._batch = batch
        self._width, self._height = size
        self._device = bank.backgrounds.device
        self._seed = seed

    def draw(self, step: int, reach: float = 1.0) -> Sample:
        """Render the batch of a step, displacements multiplied by `reach`.

        It depends only on seed, step and reach, so a resumed run gets the same data.
        """
        random = torch.Generator().manual_seed((self._seed << 32) + step)
        return Drawing(self._bank, self._batch, self._width, self._height, random, self._device, reach).sample(
            self._time
        )


class Drawing:
    """State of one batch during rendering."""

    blurs = 0.12
    """Share of the batches with motion blur."""

    def __init__(
        self,
        bank: Bank,
        batch: int,
        width: int,
        height: int,
        random: torch.Generator,
        device: torch.device,
        reach: float,
    ) -> None:
        self.bank, self.batch, self.width, self.height, self.random, self.device, self.reach = (
            bank,
            batch,
            width,
            height,
            random,
            device,
            reach,
        )
        rows = torch.arange(height, dtype=torch.float32, device=device)
        columns = torch.arange(width, dtype=torch.float32, device=device)
        self.y, self.x = (axis[None] for axis in torch.meshgrid(rows, columns, indexing="ij"))

    def uniform(self, low: float, high: float) -> Tensor:
        return (torch.rand(self.batch, 1, 1, generator=self.random) * (high - low) + low).to(self.device)

    def normal(self, deviation: float) -> Tensor:
        return (torch.randn(self.batch, 1, 1, generator=self.random) * deviation).to(self.device)

    def chance(self, probability: float) -> Tensor:
        """Draw 1 with this probability, else 0."""
        return (torch.rand(self.batch, 1, 1, generator=self.random) < probability).float().to(self.device)

    def displacement(self, still: float) -> tuple[Tensor, Tensor]:
        """Draw a shift between the two frames in pixels, from zero to large."""
        choice, amount = self.uniform(0, 1), self.uniform(1e-3, 1)
        tiny, medium, large = 1.5 * amount, -5 * torch.log(amount), 10 + 24 * amount
        size = torch.where(choice < 0.3, tiny, torch.where(choice < 0.78, medium, large)).clamp(max=36) * (
            self.reach * (1 - self.chance(still))
        )
        angle = self.uniform(0, 2 * math.pi)
        return size * torch.cos(angle), 0.7 * size * torch.sin(angle)

    def motion(
        self, place: tuple[Tensor, Tensor], camera: tuple[Tensor, Tensor], still: float, zoom: Tensor, slow: Tensor
    ) -> Motion:
        """Motion around a place, which is reached at time 1/2; the part `slow` of what is not the camera's."""
        own_x, own_y = self.displacement(still)
        velocity_x, velocity_y = camera[0] + slow * own_x, camera[1] + slow * own_y
        bend, lively, wavy = self.chance(0.15), slow * self.chance(0.5), self.chance(0.3)
        wavelength = self.uniform(30, 120)
        return Motion(
            x=place[0] - velocity_x / 2,
            y=place[1] - velocity_y / 2,
            velocity_x=velocity_x,
            velocity_y=velocity_y,
            bend_x=bend * 0.15 * self.normal(1) * velocity_x,
            bend_y=bend * 0.15 * self.normal(1) * velocity_y,
            angle=self.uniform(-math.pi, math.pi),
            spin=lively * self.normal(0.05),
            zoom=zoom,
            growth=lively * self.normal(0.025),
            wave=wavy * self.uniform(0, 0.05) * wavelength,
            frequency=2 * math.pi / wavelength,
            phase=self.uniform(-math.pi, math.pi),
            speed=slow * self.normal(0.5),
        )

    def recolour(self, textures: Tensor) -> Tensor:
        """Permute the channels and change contrast and offset of each sample.

        A fourth channel is coverage; colour is then premultiplied by it.
        """
        order = torch.stack([torch.randperm(3, generator=self.random) for _ in range(self.batch)]).to(self.device)
        colour = textures[:, :3].gather(1, order[:, :, None, None].expand(-1, -1, *textures.shape[2:]))
        gain, offset = self.uniform(0.5, 1.1)[..., None], self.uniform(-0.1, 0.25)[..., None]
        coverage = textures[:, 3:] if textures.shape[1] == 4 else torch.ones_like(colour[:, :1])
        return torch.cat((colour * gain + offset * coverage, textures[:, 3:]), 1)

    def sample(self, time: float | None) -> Sample:
        t = self.uniform(0.02, 0.98)
        t = torch.where(self.chance(0.35) > 0, torch.full_like(t, 0.5), t)
        t = t if time is None else torch.full_like(t, time)
        still = self.chance(0.1)
        times = [torch.zeros_like(t), t, torch.ones_like(t)]
        times = [torch.where(still > 0, torch.full_like(t, 0.5), moment) for moment in times]
        camera, layers = self.layers()
        places = [[layer.motion.to_layer(self.x, self.y, time) for time in times] for layer in layers]
        composed = [self.composite(layers, [place[which] for place in places]) for which in range(3)]
        images = [image for image, _ in composed]
        if float(torch.rand(1, generator=self.random)) < self.blurs:
            images = self.smeared(layers, times, camera, images)
        flow, forth, back = self.flows(layers[0].motion, places[0], times)
        for number, layer in enumerate(layers[1:]):
            own = self.flows(layer.motion, places[1 + number], times)
            covered = [covers[number] for _, covers in composed]
            forth, flow, back = (
                torch.where(cover, new, old)
                for cover, new, old in zip(covered, (own[1], own[0], own[2]), (forth, flow, back))
            )
        inset = self.inset()
        content = self.card(images[0])
        images = [torch.where(inset, content, image) for image in images]
        flow, motion = (field.masked_fill(inset, 0) for field in (flow, torch.cat((forth, back), 1)))
        return self.exposed(images, t, flow, motion, still)

    def layers(self) -> tuple[tuple[Tensor, Tensor], list[Layer]]:
        """Draw the camera's shift and the layers: a background that follows it, and up to four sprites.

        Some sprites are semi-transparent. They move on their own as well, or are fixed to the screen like captions. A
        quarter of the samples barely moves.
        """
        gentle = self.chance(0.25)
        angle, size = self.uniform(0, 2 * math.pi), self.uniform(0.1, 2.5)
        wild = self.displacement(0.15)
        camera = (
            torch.where(gentle > 0, size * torch.cos(angle), wild[0]),
            torch.where(gentle > 0, size * torch.sin(angle), wild[1]),
        )
        zoom = self.uniform(-0.1, 0.2)
        middle = (self.width / 2 + self.uniform(-20, 20), self.height / 2 + self.uniform(-20, 20))
        slow = 1 - 0.9 * gentle
        motion = self.motion(middle, camera, 1.0, zoom, slow)
        motion.spin = motion.spin * 0.5
        index = torch.randint(len(self.bank.backgrounds), (self.batch,), generator=self.random).to(self.device)
        textures = self.recolour(self.bank.backgrounds[index])
        found = [Layer(textures, motion, textures.shape[-1] / 2 / self.uniform(1.3, 2.2))]
        for _ in range(int(torch.randint(0, 5, (1,), generator=self.random))):
            level = int(torch.randint(0, len(SPRITES), (1,), generator=self.random))
            extent = self.uniform(0.18, 0.42) * SPRITES[level]
            place = (self.uniform(0, 1) * self.width, self.uniform(0, 1) * self.height)
            free = 1 - self.chance(0.08)
            motion = self.motion(place, (free * camera[0], free * camera[1]), 0.3, torch.zeros_like(zoom), free * slow)
            index = torch.randint(len(self.bank.sprites[level]), (self.batch,), generator=self.random).to(self.device)
            opacity = 1 - self.chance(0.12) * self.uniform(0.2, 0.7)
            found.append(Layer(self.recolour(self.bank.sprites[level][index]) * opacity[..., None], motion, extent))
        return camera, found

    def inset(self) -> Tensor:
        """Mask of a static part of the screen, [B, 1, H, W] bool.

        In a tenth of the samples it is a box, a bar or the whole screen, otherwise empty.
        """
        inside = self.chance(0.1)
        for axis, size in ((self.x, self.width), (self.y, self.height)):
            middle, half = self.uniform(0, 1) * size, self.uniform(0.05, 0.4) * size
            inside = inside * torch.maximum(((axis - middle).abs() < half).float(), self.chance(0.3))
        return inside[:, None] > 0

    def card(self, images: Tensor) -> Tensor:
        """Fill a static part, [B, 3, H, W]: another sample's image, with noise per pixel, or black."""
        noise = (
            self.uniform(0, 1)[..., None] ** 2 * 0.3 * torch.randn(images.shape, generator=self.random).to(self.device)
        )
        return self.chance(0.8)[..., None] * (images.roll(1, 0) + self.chance(0.5)[..., None] * noise)

    def composite(self, layers: list[Layer], places: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[Tensor]]:
        """Compose the layers at their positions.

        Returns the image [B, 3, H, W] and each sprite's coverage [B, 1, H, W] bool.
        """
        image, covers = layers[0].drawn(places[0]), []
        for layer, place in zip(layers[1:], places[1:], strict=True):
            drawn = layer.drawn(place)
            image = image * (1 - drawn[:, 3:]) + drawn[:, :3]
            covers.append(drawn[:, 3:] > 0.5)
        return image, covers

    def smeared(
        self, layers: list[Layer], times: list[Tensor], camera: tuple[Tensor, Tensor], images: list[Tensor]
    ) -> list[Tensor]:
        """Add motion blur of an open shutter around each time, limited to 6 pixels of the camera's motion."""
        span = torch.minimum(self.uniform(0, 0.5), 6 / (torch.hypot(*camera) + 1e-3))
        result = []
        for image, time in zip(images, times, strict=True):
            parts = [image]
            for offset in (-0.4, 0.4):
                places = [layer.motion.to_layer(self.x, self.y, time + offset * span) for layer in layers]
                parts.append(self.composite(layers, places)[0])
            result.append(torch.stack(parts).mean(0))
        return result

    def flows(
        self, motion: Motion, places: list[tuple[Tensor, Tensor]], times: list[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the flows of one layer whose positions at the three times are `places`.

        Returns from t to both frames [B, 4, H, W], from the first to the second [B, 2, H, W], and back.
        """
        first, second = self.flow(motion, places[1], times[0]), self.flow(motion, places[1], times[2])
        return (
            torch.cat((first, second), 1),
            self.flow(motion, places[0], times[2]),
            self.flow(motion, places[2], times[0]),
        )

    def flow(self, motion: Motion, place: tuple[Tensor, Tensor], time: Tensor) -> Tensor:
        """Compute the displacement to another time of points at layer positions `place`: [B, 2, H, W]."""
        x, y = motion.to_image(*place, time)
        return torch.stack((x - self.x, y - self.y), 1)

    def exposed(self, images: list[Tensor], t: Tensor, flow: Tensor, motion: Tensor, still: Tensor) -> Sample:
        """Add changes of brightness, halved chroma resolution, noise and compression to the images.

        Still samples get the same noise in both inputs, and the truth is the same image.
        """
        still4, t4 = still[..., None], t[..., None]
        change = (self.chance(0.15) * self.normal(0.12))[..., None] * (1 - still4)
        dark = (1 - self.chance(0.12) * self.uniform(0.5, 0.85))[..., None]
        first, truth, second = (
            (image * dark * (1 + change * (time - 0.5))).clamp(0, 1)
            for image, time in zip(images, (torch.zeros_like(t4), t4, torch.ones_like(t4)))
        )
        plain = [halved_colour(image) for image in (first, truth, second)]  # like nearly all stored video
        often = self.chance(0.5)[..., None]
        first, truth, second = (
            torch.where(often > 0, halved, image) for halved, image in zip(plain, (first, truth, second), strict=True)
        )
        strength = (self.chance(0.35) * self.uniform(0, 1) ** 2 * 0.04)[..., None]
        coarse = (self.chance(0.4))[..., None]
        noises = [self.grain(coarse) for _ in range(2)]
        first, second = first + strength * noises[0], second + strength * torch.where(still4 > 0, noises[0], noises[1])
        coded, step = self.chance(0.3)[..., None], 2 ** self.uniform(1, 4.3)[..., None] / 255
        first, second = (torch.where(coded > 0, quantised(image, step), image) for image in (first, second))
        truth = torch.where(still4 > 0, first, truth)
        first, second, truth = (((image * 255).round() / 255).clamp(0, 1) for image in (first, second, truth))
        return Sample(first, second, truth, t.reshape(-1), flow, motion, still.reshape(-1) > 0)

    def grain(self, coarse: Tensor) -> Tensor:
        """Draw unit noise [B, 3, H, W]: fine like a sensor's, or in blocks like compression's."""
        fine = torch.randn(self.batch, 3, self.height, self.width, generator=self.random).to(self.device)
        blocks = torch.randn(self.batch, 3, self.height // 4, self.width // 4, generator=self.random).to(self.device)
        soft = functional.interpolate(blocks, size=(self.height, self.width), mode="bilinear", align_corners=False)
        return torch.where(coarse > 0, 0.8 * soft + 0.4 * fine, fine)
