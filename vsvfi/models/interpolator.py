"""The interface of all interpolation networks: encode a frame, prepare a pair, synthesise at a timestep.

The result of a phase may be cached, since it depends on the arguments of that phase only.

Conventions, for all families:
    image      [B, 3, H, W] float32 RGB in [0, 1], padded to the family's size rule; half-precision networks cast it
    t          [B] or a number; 0 is the first frame, 1 the second
    flow_t0    [B, 2, H, W] from a pixel of frame t to its origin in frame 0: x then y, in pixels of its own grid
Modules hold weights only; whatever is stored between calls is a frozen dataclass of tensors, owned by a cache.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor, nn


class Interpolator[Frame, Pair](nn.Module, ABC):
    """A frame-interpolation network, split into phases by what each depends on."""

    full_precision: ClassVar[tuple[str, ...]] = ()
    """Name prefixes of weights that stay float32 in half-precision networks."""

    pieces: tuple[str, ...] = ("encode_frame", "prepare_pair", "synthesise")
    """Methods that a runtime may replace (`runtime=`): their results depend on their arguments and weights alone.

    They must not wait for the device. The phases; a network whose phase repeats a smaller part names that part instead.
    """

    @abstractmethod
    def encode_frame(self, image: Tensor) -> Frame:
        """Compute what depends on ONE image [B, 3, H, W]; called once per source frame."""

    @abstractmethod
    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        """Compute what depends on both frames but not on t; called once per pair."""

    @abstractmethod
    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        """Synthesise the frame at t: [B] -> [B, 3, H, W] float32 in [0, 1].

        Several t of one pair (of batch 1) run as one batch.
        """

    def check_times(self, t: Tensor) -> None:
        """Refuse timesteps on the CPU that the network cannot be evaluated at; the default accepts all."""

    def random_inputs(self, pair: Pair, position: Fraction) -> dict[str, Tensor]:
        """Draw the random inputs of `synthesise`, by their names in `Family.inputs`.

        They depend on the position on the source axis, and are the same on every call. Noise seeded by t alone would
        repeat in every pair of a clip; the position is no argument of `synthesise`, since most networks draw nothing.
        """
        return {}

    def synthesise_batch(
        self, pairs: Sequence[Pair], t: Tensor, inputs: Sequence[Mapping[str, Tensor]]
    ) -> list[Tensor]:
        """Synthesise the frames of several pairs at the same t, each pair with its own inputs.

        Overridden by networks that are faster on a batch of pairs.
        """
        return [self.synthesise(pair, t, **given) for pair, given in zip(pairs, inputs, strict=True)]

    def flows(self, pair: Pair, t: Tensor) -> dict[str, Tensor]:
        """Return the estimated motion by name, [B, 2, H, W] float32 in pixels, x then y; empty if there is none.

        "0-1" and "1-0" start at the pixels of one frame and lead to the other, "t-0" and "t-1" start at the pixels of
        the frame at t and lead to where they come from, "t" is motion per unit of time through the pixels at t.
        """
        return {}

    def prepare_operators(self) -> None:
        """Load and compile operators for the device and type of the weights.

        Called once, after loading the weights and before the first frame.
        """

    def forward(self, first: Tensor, second: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """Run the three phases: images [B, 3, H, W], t [B] -> [B, 3, H, W].

        `inputs` are the family's own (`Family.inputs`), for `synthesise`.
        """
        return self.synthesise(self.prepare_pair(self.encode_frame(first), self.encode_frame(second)), t, **inputs)


def tensor_bytes(value: object) -> int:
    """Return the bytes of all tensors inside tensors, tuples, lists, dicts and dataclasses.

    A storage shared by several views counts once.
    """
    storages = (tensor.untyped_storage() for tensor in tensors_of(value))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def tensors_of(value: object) -> Iterator[Tensor]:
    """Yield all tensors inside tensors, tuples, lists, dicts and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_of(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for member in dataclasses.fields(value):
            yield from tensors_of(getattr(value, member.name))


def broadcast_times(t: Tensor | float, batch: int, like: Tensor) -> Tensor:
    """Return `t` as a float32 vector [batch] on the device of `like`."""
    times = torch.as_tensor(t, dtype=torch.float32, device=like.device).reshape(-1)
    return times.expand(batch) if times.numel() == 1 else times
