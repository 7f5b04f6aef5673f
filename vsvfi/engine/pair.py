"""Interpolate any number of frames between two images with a model, and estimate their motion."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from vsvfi.engine.build import AnyInterpolator
from vsvfi.engine.device import inference
from vsvfi.engine.padding import Padding
from vsvfi.plan.bisection import bisection_path, nearest


class OpenedPair:
    """Two images of batch B, each padded and encoded only once.

    Args:
        network: built for the images' size.
        padding: for the images' size.
        first: [B, 3, H, W] RGB.
        second: the same shape.
        device: of the network.
        bisects: timesteps other than 1/2 are reached by bisection, on padded images.
    """

    def __init__(
        self,
        network: AnyInterpolator,
        padding: Padding,
        first: Tensor,
        second: Tensor,
        device: torch.device,
        *,
        bisects: bool,
    ) -> None:
        self._network, self._padding, self._device, self._bisects = network, padding, device, bisects
        self._like = first
        self._images: dict[Fraction, Tensor] = {}
        self._frames: dict[Fraction, object] = {}
        self._pairs: dict[tuple[Fraction, Fraction], object] = {}
        with inference(device):
            for position, image in ((Fraction(0), first), (Fraction(1), second)):
                padded = padding.pad(image.to(device, torch.float32))
                self._images[position] = padded.contiguous(memory_format=torch.channels_last)

    def frame(self, t: Fraction) -> Tensor:
        """Interpolate the frame at t in (0, 1), with the shape, device and type of `first`, in [0, 1].

        If the model bisects, t is rounded to the nearest 1/16.
        """
        with inference(self._device):
            if not self._bisects:
                return self._given_back(self._made(Fraction(0), Fraction(1), t))
            place = nearest(t)
            if place not in self._images:
                for before, after in bisection_path(place):
                    middle = (before + after) / 2
                    if middle not in self._images:
                        made = self._made(before, after, Fraction(1, 2))
                        self._images[middle] = made.contiguous(memory_format=torch.channels_last)
            return self._given_back(self._images[place])

    def flow(self, t: Fraction) -> dict[str, Tensor]:
        """Estimate the motion of the whole pair, even if frames use bisection; see `Interpolator.flows` for names."""
        with inference(self._device):
            pair = self._pair(Fraction(0), Fraction(1))
            found = self._network.flows(pair, self._times(t))
            return {name: self._given_back(flow) for name, flow in found.items()}

    def _made(self, before: Fraction, after: Fraction, t: Fraction) -> Tensor:
        """The padded frame at t between two positions."""
        pair = self._pair(before, after)
        inputs = self._network.random_inputs(pair, before + t * (after - before))
        return self._network.synthesise(pair, self._times(t), **inputs)

    def _times(self, t: Fraction) -> Tensor:
        return torch.full((self._like.shape[0],), float(t), dtype=torch.float32, device=self._device)

    def _pair(self, before: Fraction, after: Fraction) -> object:
        """Prepare the pair at two positions; the last one is cached for further timesteps."""
        if (before, after) not in self._pairs:
            for position in (before, after):
                if position not in self._frames:
                    self._frames[position] = self._network.encode_frame(self._images[position])
            self._pairs = {(before, after): self._network.prepare_pair(self._frames[before], self._frames[after])}
        return self._pairs[before, after]

    def _given_back(self, image: Tensor) -> Tensor:
        """Crop, and convert to the device and type of the input."""
        cropped = self._padding.crop(image)
        return cropped.to(self._like.device, self._like.dtype).clone(memory_format=torch.contiguous_format)
