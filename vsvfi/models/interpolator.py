"""The type every network implements: three phases, composed once. What may be cached is what a signature cannot see.

Conventions, for all families:
    image      [B, 3, H, W] float32 RGB in [0, 1], padded to the family's size rule; a network in half precision casts
    what it convolves t          [B] or a number; 0 is the first frame, 1 the second
    flow_t0    [B, 2, H, W] displacement in pixels of its own resolution, x then y: where in frame 0 the pixel of frame
    t comes from
Modules hold weights only; whatever is remembered between calls is a frozen dataclass of tensors, owned by a cache.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn


class Interpolator[Frame, Pair](nn.Module, ABC):
    """A frame-interpolation network, split by what each part depends on."""

    full_precision: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the names of weights that stay float32 whatever the rest is computed in."""

    @abstractmethod
    def encode_frame(self, image: Tensor) -> Frame:
        """What depends on ONE image [B, 3, H, W]: computed once per source position."""

    @abstractmethod
    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        """What depends on both frames but not on t: computed once per pair."""

    @abstractmethod
    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        """The frame at t: [B] -> [B, 3, H, W] float32 in [0, 1]; several t of one pair (of batch 1) in one batch."""

    def random_inputs(self, pair: Pair, position: Fraction) -> dict[str, Tensor]:
        """What `synthesise` would draw at random, by its names in `Family.inputs`: for the picture at this position of
        the source axis, and always the same.

        The position is no argument of `synthesise`, since networks that draw nothing have no use for it; and noise that
        followed from the time t alone would be the same for every pair of a clip.
        """
        return {}

    def synthesise_together(
        self, pairs: Sequence[Pair], t: Tensor, inputs: Sequence[Mapping[str, Tensor]]
    ) -> list[Tensor]:
        """The frames of several pairs at the same t, for networks that gain by a batch of them; each pair has inputs of
        its own.
        """
        return [self.synthesise(pair, t, **given) for pair, given in zip(pairs, inputs, strict=True)]

    def flows(self, pair: Pair, t: Tensor) -> dict[str, Tensor]:
        """The motion that the network finds, by name: [B, 2, H, W] float32 in pixels, x then y; none for networks that
        estimate no flow.

        "0-1" and "1-0" start at the pixels of one frame and lead to the other, "t-0" and "t-1" start at the pixels of
        the frame at t and lead to where they come from, "t" is motion per unit of time through the pixels at t.
        """
        return {}

    def prepare_operators(self) -> None:
        """Load and compile what takes long the first time, for the device and type of the weights.

        Called once they are there, before the first frame.
        """

    def forward(self, first: Tensor, second: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """The three phases composed: images [B, 3, H, W], t [B] -> [B, 3, H, W].

        `inputs` are the family's own (`Family.inputs`), for `synthesise`.
        """
        return self.synthesise(self.prepare_pair(self.encode_frame(first), self.encode_frame(second)), t, **inputs)


def tensor_bytes(value: object) -> int:
    """Bytes of all tensors inside tensors, tuples, lists, dicts and dataclasses; a storage shared by views
    counts once."""
    seen: dict[int, int] = {}
    _collect(value, seen)
    return sum(seen.values())


def _collect(value: object, seen: dict[int, int]) -> None:
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, seen)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, seen)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for member in dataclasses.fields(value):
            _collect(getattr(value, member.name), seen)


def broadcast_times(t: Tensor | float, batch: int, like: Tensor) -> Tensor:
    """`t` as a float32 vector [batch] on the device of `like`."""
    times = torch.as_tensor(t, dtype=torch.float32, device=like.device).reshape(-1)
    return times.expand(batch) if times.numel() == 1 else times
