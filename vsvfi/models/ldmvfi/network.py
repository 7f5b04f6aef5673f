"""LDMVFI, "Video Frame Interpolation with Latent Diffusion Models" (AAAI 2024, arXiv 2303.09508).

Each frame is encoded as a small latent and a pyramid of features; a diffusion model, conditioned on both latents,
samples the latent of the middle frame; the decoder predicts kernels from it and both pyramids, which resample the
frames. The network supports t = 1/2 only. Attribute names are the published keys.

Unlike the other families, this one pads and crops by itself. The last layers, which take most of the decoder's time,
are computed for the unpadded size only; and a midpoint that is interpolated from again is padded by its own content, as
published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.errors import ArgumentError
from vsvfi.models.blocks.uploads import uploaded
from vsvfi.models.interpolator import Interpolator
from vsvfi.models.ldmvfi.autoencoder import AutoEncoder
from vsvfi.models.ldmvfi.sampler import ddim, drawn, schedule
from vsvfi.models.ldmvfi.spec import padded_size
from vsvfi.models.ldmvfi.unet import UNet
from vsvfi.ops.sepconv import warm_up

_HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Frame:
    """Per-image values."""

    image: Tensor  # [B, 3, Hp, Wp] float32 in [-1, 1], padded
    latent: Tensor  # [B, 3, Hp/32, Wp/32] float32, not quantised
    pyramid: tuple[Tensor, ...]  # features at 1/2 to 1/32 of the padded size
    shown: tuple[int, int]  # height and width before the padding


@dataclass(frozen=True, slots=True)
class Pair:
    """Per-pair values."""

    condition: Tensor  # [B, 6, Hp/32, Wp/32] float32: both latents
    first: Frame
    second: Frame


class LDMVFI(Interpolator[Frame, Pair]):
    """LDMVFI as an `Interpolator`.

    Args:
        width: channels of the U-Net at the latent's size.
        features: channels of the autoencoder at full size.
        scale: 1; no other is supported.
        steps: of the sampler.
        eta: amount of fresh noise in every step, 0 to 1.
        seed: of all noise that is not passed to `synthesise`.
    """

    full_precision = ("first_stage_model.quantize.",)
    pieces = ("encode_frame", "denoise", "decode")

    def __init__(
        self,
        width: int,
        features: int,
        *,
        scale: Fraction = Fraction(1),
        steps: int = 200,
        eta: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        assert scale == 1
        self.updates = schedule(steps, eta)
        self.seed = seed
        self.model = nn.ModuleDict({"diffusion_model": UNet(width)})
        self.first_stage_model = AutoEncoder(features)

    def prepare_operators(self) -> None:
        weight = self.first_stage_model.post_quant_conv.weight
        warm_up(weight.device, weight.dtype)

    def encode_frame(self, image: Tensor) -> Frame:
        shown = (image.shape[2], image.shape[3])
        image = padded(2 * image.float() - 1).contiguous(memory_format=torch.channels_last)
        latent, pyramid = self.first_stage_model.encode(image.to(self.first_stage_model.post_quant_conv.weight.dtype))
        return Frame(image, latent.float(), pyramid, shown)

    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        return Pair(torch.cat((first.latent, second.latent), 1), first, second)

    def random_inputs(self, pair: Pair, position: Fraction) -> dict[str, Tensor]:
        """Draw the starting noise `x_T` [B, 3, h, w] and the noise of every step `step_noise` [steps, B, 3, h, w].

        `step_noise` is left out if no step adds noise. All frames of a batch get the same noise, so that batching does
        not change results.
        """
        batch, _, height, width = pair.condition.shape
        shapes: list[tuple[int, ...]] = [(1, 3, height, width)]
        if any(update.fresh for update in self.updates):
            shapes.append((len(self.updates), 1, 3, height, width))
        noises = zip(("x_T", "step_noise"), drawn(self.seed, position, *shapes))
        return {
            name: uploaded(noise, pair.condition.device).expand(*noise.shape[:-4], batch, -1, -1, -1)
            for name, noise in noises
        }

    def check_times(self, t: Tensor) -> None:
        """Refuse all timesteps but 1/2.

        Raises:
            ArgumentError: another time.
        """
        if bool((t != 0.5).any()):
            raise ArgumentError(
                "t",
                [float(time) for time in t.reshape(-1)],
                "LDMVFI only supports t=0.5",
                "pass t=0.5, or use interpolate(), which reaches other timesteps by bisection",
            )

    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        """Synthesise the frame at t = 1/2: [B, 3, H, W] in [0, 1], of the unpadded size.

        Args:
            pair: of B images.
            t: 1/2.
            inputs: `x_T` [B or 1, 3, h, w] and `step_noise` [evaluations, B or 1, 3, h, w].

        Noise has 1/32 of the padded size, and `step_noise` is in order of use. Missing noise is drawn for position 1/2.

        Raises:
            ArgumentError: another time, or noise of another shape.
        """
        return self.synthesise_batch([pair], t, [inputs])[0]

    def synthesise_batch(
        self, pairs: Sequence[Pair], t: Tensor, inputs: Sequence[Mapping[str, Tensor]]
    ) -> list[Tensor]:
        """Synthesise the frames of several pairs: one batch in the U-Net, then one pair at a time in the decoder.

        Reading its weights limits the speed of the U-Net; memory limits the decoder.
        """
        if t.device.type == "cpu":  # the host would wait for another device; `Model` checks before it uploads them
            self.check_times(t)
        noises = [self._noises(pair, given) for pair, given in zip(pairs, inputs, strict=True)]
        fresh = None if noises[0][1] is None else torch.cat([noise for _, noise in noises if noise is not None], 1)
        latents = self.sample(torch.cat([pair.condition for pair in pairs]), torch.cat([x for x, _ in noises]), fresh)
        made = torch.split(latents, [pair.condition.shape[0] for pair in pairs])
        return [self.decode(pair, latent) for pair, latent in zip(pairs, made, strict=True)]

    def sample(self, condition: Tensor, x: Tensor, noises: Tensor | None) -> Tensor:
        """Sample the latent of the middle frame [B, 3, h, w], not quantised, from both latents and all noise."""
        shifts = self._unet.shifts([update.t for update in self.updates])
        return ddim(self.updates, lambda latent, index: self.denoise(latent, condition, shifts[index]), x, noises)

    def denoise(self, latent: Tensor, condition: Tensor, shifts: Mapping[nn.Module, Tensor]) -> Tensor:
        """Predict the noise in latents [B, 3, h, w] for one step, whose shifts these are."""
        dtype = self.first_stage_model.post_quant_conv.weight.dtype
        entering = torch.cat((latent, condition), 1).to(dtype).contiguous(memory_format=torch.channels_last)
        noise: Tensor = self._unet(entering, shifts)
        return noise

    @property
    def _unet(self) -> UNet:
        unet = self.model["diffusion_model"]
        assert isinstance(unet, UNet)
        return unet

    def decode(self, pair: Pair, latent: Tensor) -> Tensor:
        """Decode a sampled latent to the frame, [B, 3, H, W] in [0, 1]."""
        stage = self.first_stage_model
        frames, pyramids = (pair.first.image, pair.second.image), (pair.first.pyramid, pair.second.pyramid)
        image: Tensor = stage.decoder(stage.entering(latent), frames, pyramids, pair.first.shown)
        return (image.clamp(-1, 1) + 1) / 2

    def _noises(self, pair: Pair, given: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return starting and fresh noise for a pair, drawing what is not passed."""
        batch, _, height, width = pair.condition.shape
        needed = {"x_T": (batch, 3, height, width), "step_noise": (len(self.updates), batch, 3, height, width)}
        for name, noise in given.items():
            shape = needed[name]
            alone = (*shape[:-4], 1, *shape[-3:])
            if tuple(noise.shape) not in (shape, alone):
                raise ArgumentError(
                    name,
                    tuple(noise.shape),
                    f"must be {shape} for images of this size",
                    "leave it out to have it drawn",
                )
        noises = {**(self.random_inputs(pair, _HALF) if len(given) < len(needed) else {}), **given}
        moved = [noises[name].to(pair.condition).expand(needed[name]) for name in needed if name in noises]
        return moved[0], moved[1] if len(moved) > 1 else None


def padded(image: Tensor) -> Tensor:
    """Pad [B, C, H, W] at the right and the bottom by repeated reflection, without repeating the edge."""
    height, width = padded_size(*image.shape[2:])
    while image.shape[2] < height or image.shape[3] < width:
        down, across = (min(goal - size, max(size - 1, 1)) for goal, size in zip((height, width), image.shape[2:]))
        if across:
            image = functional.pad(image, (0, across, 0, 0), mode="reflect" if image.shape[3] > 1 else "replicate")
        if down:
            image = functional.pad(image, (0, 0, 0, down), mode="reflect" if image.shape[2] > 1 else "replicate")
    return image
