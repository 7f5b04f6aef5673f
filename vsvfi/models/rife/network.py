"""RIFE 4.x, the continued development of "Real-Time Intermediate Flow Estimation" (arXiv 2011.06294).

The paper is Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation", ECCV 2022. Four or
five blocks, coarse to fine, each on both frames warped by the flow so far, refine the flow from timestep t to both
frames, and a mask that blends the warped frames; there is no synthesis network. Block k works at 1/s_k of the size.
Between blocks the flow is stored at full size, mask and feature at the size of the block that produced them.

In tiles, coarse blocks see the whole picture; the fine ones, whose inputs are most of the memory, run in windows, and
the last one's results are blended there, so that neither its flow nor its mask is ever whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import torch
from torch import Tensor

from vsvfi.models.blocks.moved import warped
from vsvfi.models.blocks.tiles import Part, Window, in_windows, windows
from vsvfi.models.interpolator import Interpolator, broadcast_times
from vsvfi.models.rife.blocks import Block, Head, plain_head
from vsvfi.models.rife.estimates import Estimate, at_size_of, averaged, chosen, is_large, planes, summed
from vsvfi.models.rife.spec import Version
from vsvfi.ops import activation, refinement
from vsvfi.ops.warp import resize_bilinear

_FINE = 4
"""Blocks that work at less than 1/4 of the reduction, and the last one, run in windows."""

HEAD = Part("encode_window", halo=8, multiple=2)
BLOCK = Part("refine_window", halo=44, multiple=4)
"""In pixels of the block's size."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Per-image values: the image and its head features."""

    packed: Tensor  # [B, 3 + f, H, W] float32
    reduced: Tensor  # [B, 3 + f, H / s, W / s]: input of block 0


@dataclass(frozen=True, slots=True)
class Pair:
    """Per-pair values that do not depend on t."""

    first: Tensor  # [B, 3 + f, H, W] float32
    second: Tensor
    reduced: Tensor  # [B, 2 (3 + f), H / s, W / s]: both images as input of block 0


class IFNet(Interpolator[Frame, Pair]):
    """RIFE's IFNet as an `Interpolator`.

    Args:
        version: the layout of the published network.
        scale: resolution of the motion estimation.
        ensemble: run every block on the mirrored pair too and average, in versions that were published with it.
        tile: largest edge in pixels of what is encoded, refined and blended at once; None for the whole picture.

    Raises:
        ValueError: the version has no known steps or outputs.
    """

    parts = (HEAD, BLOCK)

    def __init__(
        self, version: Version, *, scale: Fraction = Fraction(1), ensemble: bool = False, tile: int | None = None
    ) -> None:
        super().__init__()
        self.tile = tile
        if tile:
            self.pieces = ("encode_window", "refine_window")
        widths, outputs = version.widths, version.outputs
        if version.steps is None or outputs is None:
            raise ValueError(f"IFNet: version={version.name}, has unknown steps or outputs; use a supported version")
        self.steps = tuple(step / scale for step in version.steps)
        self.summed = version.summed
        self.fallback = version.fallback
        self.ensemble = ensemble
        features = 8 if outputs == 52 else 0
        self._kept = 1 + features
        held = 0
        if version.head is not None:
            hidden, held = version.head
            self.encode = plain_head(hidden, held) if version.plain else Head(hidden, held)
        self.packed = 3 + held
        # Published order of the inputs: both images, both heads, the rest. Here an image and its head stay together.
        frames = [*range(3), *range(6, 6 + held), *range(3, 6), *range(6 + held, 6 + 2 * held)]
        for index, width in enumerate(widths):
            inputs = 2 * self.packed + (1 if index == 0 else 1 + 1 + features + 4)
            used = 5 if index == len(widths) - 1 else 5 + features
            order = [*frames, *range(len(frames), inputs)]
            block = Block(inputs, width, outputs, used, version.residual, version.groups, order)
            self.add_module(f"block{index}", block)
        # Without a pixel shuffle a block's result has half the size of its input
        self._enlarges = 1 if outputs > 5 else 2

    @property
    def blocks(self) -> list[Block]:
        """Return the blocks, coarse to fine."""
        found = (self.get_submodule(f"block{index}") for index in range(len(self.steps)))
        return [block for block in found if isinstance(block, Block)]

    def prepare_operators(self) -> None:
        for block in self.blocks:
            block.fold()
        finer = zip(self.steps, self.steps[1:], strict=False)
        steps = [
            (int(step), 1 if self.summed else int(self._enlarges * made / step)) for made, step in finer if step >= 1
        ]
        weight = next(self.parameters())
        refinement.warm_up(self.packed, self._kept, steps, weight.device)
        activation.warm_up(weight.device, weight.dtype)

    def encode_frame(self, image: Tensor) -> Frame:
        if self.packed == 3:
            packed = image.float().clamp(0, 1)
        else:
            cut = windows(image.shape[2:], HEAD, self.tile)
            (packed,) = in_windows(cut, lambda window: (self.encode_window(window.of(image)),))
        return Frame(packed, resize_bilinear(packed, 1 / self.steps[0]))

    def encode_window(self, image: Tensor) -> Tensor:
        """Return an image, or a window of it, with its head features: [B, 3 + f, h, w] float32."""
        image = image.float().clamp(0, 1)
        features = self.encode(image.to(self._dtype)).float()
        return torch.cat((image, features), 1).contiguous(memory_format=torch.channels_last)

    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        return Pair(first.packed, second.packed, torch.cat((first.reduced, second.reduced), 1))

    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        times = broadcast_times(t, pair.first.shape[0], pair.first)
        if self.fallback and times.numel() > 1:  # the fallback is decided per timestep
            pairs = [pair] if pair.first.shape[0] == 1 else _split(pair)
            return torch.cat(
                [self.synthesise(pairs[index % len(pairs)], times[index : index + 1]) for index in range(times.numel())]
            )
        if self.tile:
            return self._in_windows(pair, times, lambda found, window: self._blended(pair, found, window))
        found = self.estimate(pair, times)
        return refinement.blend_pair(pair.first, pair.second, found.flow, self.mask(found))

    def flows(self, pair: Pair, t: Tensor) -> dict[str, Tensor]:
        times = broadcast_times(t, pair.first.shape[0], pair.first)
        if self.tile:
            flow = self._in_windows(pair, times, lambda found, window: found.flow)
        else:
            flow = self.estimate(pair, times).flow
        return {"t-0": flow[:, :2], "t-1": flow[:, 2:]}

    def mask(self, found: Estimate) -> Tensor:
        """Return the weight of the first frame, [B, 1, H, W]."""
        return torch.sigmoid(summed([resize_bilinear(state[:, :1], made) for state, made in found.states]))

    def estimate(self, pair: Pair, times: Tensor) -> Estimate:
        """Run all blocks for the timesteps [B] of a pair of batch B or 1."""
        steps = self.steps
        found = self._refine(0, self._first_block(pair.reduced, times, self.ensemble), None, steps[0])
        if self.fallback:
            return self._with_fallback(pair, times, found)
        for index in range(1, len(steps)):
            found = self._step(index, pair, times, found, steps[index])
        return found

    def estimates(self, pair: Pair, times: Tensor) -> list[Estimate]:
        """Return the estimate after every block, for training; versions with a fallback never take it here."""
        found = [self._refine(0, self._first_block(pair.reduced, times, self.ensemble), None, self.steps[0])]
        for index in range(1, len(self.steps)):
            found.append(self._step(index, pair, times, found[-1], self.steps[index]))
        return found

    def _with_fallback(self, pair: Pair, times: Tensor, start: Estimate) -> Estimate:
        """Run the remaining blocks; on large motion, start over at half the resolution.

        Where the host would have to wait for the device to know, both estimates are computed and the device chooses.
        """
        found = self._step(1, pair, times, start, self.steps[1])
        large = is_large(start, found)
        if _is_on_host(large):
            return self._coarser(pair, times) if bool(large) else self._finished(pair, times, found, self.steps)
        return chosen(large, self._coarser(pair, times), self._finished(pair, times, found, self.steps))

    def _coarser(self, pair: Pair, times: Tensor) -> Estimate:
        """Run all blocks at half the resolution."""
        steps = tuple(2 * step for step in self.steps)
        return self._finished(pair, times, self._started(pair, times, steps), steps)

    def _started(self, pair: Pair, times: Tensor, steps: tuple[Fraction, ...]) -> Estimate:
        """Run blocks 0 and 1 at half the resolution."""
        reduced = torch.cat([resize_bilinear(packed, 1 / steps[0]) for packed in (pair.first, pair.second)], 1)
        output = self._first_block(reduced, times, False)  # not mirrored, as published
        return self._step(1, pair, times, self._refine(0, output, None, steps[0]), steps[1])

    def _finished(self, pair: Pair, times: Tensor, found: Estimate, steps: tuple[Fraction, ...]) -> Estimate:
        """Run the blocks from 2 on."""
        for index in range(2, len(steps)):
            found = self._step(index, pair, times, found, steps[index])
        return found

    def _first_block(self, reduced: Tensor, times: Tensor, ensemble: bool) -> Tensor:
        """Run block 0 on both frames at its size."""
        block = self.blocks[0]
        plane = planes(times, reduced).expand(-1, 1, *reduced.shape[2:])
        reduced = reduced.expand(len(times), -1, -1, -1)
        output: Tensor = block(self._for_block(torch.cat((reduced, plane), 1)))
        if not ensemble:
            return output
        mirrored = torch.cat((reduced[:, self.packed :], reduced[:, : self.packed], 1 - plane), 1)
        return averaged(output, block(self._for_block(mirrored)))

    def _step(self, index: int, pair: Pair, times: Tensor, found: Estimate, step: Fraction) -> Estimate:
        """Run block `index` at 1 / step of the size, in windows if it is a fine one."""
        if self.tile and step < _FINE:

            def compute(window: Window) -> tuple[Tensor, Tensor]:
                refined = self._step_in(index, pair, times, found, step, window)
                return refined.flow, refined.states[-1][0]

            flow, state = in_windows(self._cut(found, step), compute)
            states = [(state, step * self._enlarges)]
            return Estimate(flow, [*found.states, *states] if self.summed else states)
        return self._refine(index, self.refine_window(self._input(pair, times, found, step), index), found, step)

    def refine_window(self, x: Tensor, index: int) -> Tensor:
        """Run block `index` from 1 on on its input [B, inputs, h, w], or on a window of it: [B, used, h, w]."""
        block = self.blocks[index]
        output: Tensor = block(self._for_block(x))
        if not self.ensemble:
            return output
        widths = [self.packed, self.packed, 1, 1, self._kept - 1, 4]
        first, second, time, mask, rest, flow = torch.split(x, widths, 1)
        mirrored = torch.cat((second, first, 1 - time, -mask, rest, flow[:, 2:], flow[:, :2]), 1)
        return averaged(output, block(self._for_block(mirrored)))

    def _in_windows(self, pair: Pair, times: Tensor, shown: Callable[[Estimate, Window], Tensor]) -> Tensor:
        """Run all blocks, the last in windows, and compute in each what is shown of its estimate."""
        steps, last = self.steps, len(self.steps) - 1
        found = self._refine(0, self._first_block(pair.reduced, times, self.ensemble), None, steps[0])
        done = 1
        if self.fallback:
            start, found, done = found, self._step(1, pair, times, found, steps[1]), 2
            large = is_large(start, found)
            if _is_known(large) and bool(large):
                steps = tuple(2 * step for step in steps)
                found = self._started(pair, times, steps)
        for index in range(done, last):
            found = self._step(index, pair, times, found, steps[index])

        def compute(window: Window) -> tuple[Tensor]:
            return (shown(self._step_in(last, pair, times, found, steps[last], window), window),)

        return in_windows(self._cut(found, steps[last]), compute)[0]

    def _step_in(
        self, index: int, pair: Pair, times: Tensor, found: Estimate, step: Fraction, window: Window
    ) -> Estimate:
        """Run block `index` in a window of the picture, of which its estimate is."""
        found = Estimate(window.of(found.flow), [(window.of(values), made) for values, made in found.states])
        first, second = _warped(pair, found.flow, window)
        first, second, flow = (resize_bilinear(values, 1 / step) for values in (first, second, found.flow))
        state = summed([at_size_of(values, made, step) for values, made in found.states])
        time = planes(times, state).expand_as(state[:, :1])
        x = torch.cat((first, second, time, state, flow / float(step)), 1)
        return self._refine(index, self.refine_window(x, index), found, step)

    def _blended(self, pair: Pair, found: Estimate, window: Window) -> Tensor:
        """Warp and blend both images in a window by the last estimate there."""
        pair = replace(pair, first=pair.first[:, :3], second=pair.second[:, :3])
        first, second = _warped(pair, found.flow, window)
        return torch.lerp(second, first, self.mask(found))

    def _cut(self, found: Estimate, step: Fraction) -> list[Window]:
        """The windows of a block, in pixels of the picture: whole pixels of all that it reads."""
        coarsest = max(made for _, made in found.states)  # enlarged, its pixels blur across the edge of a window
        halo = ceil((BLOCK.halo + 1) * step + coarsest / 2)
        multiple = ceil(max(BLOCK.multiple * step, coarsest))
        return windows(found.flow.shape[2:], Part(BLOCK.method, halo, multiple), self.tile)

    def _input(self, pair: Pair, times: Tensor, found: Estimate, step: Fraction) -> Tensor:
        """Return the float32 input of a block at 1 / step of the size.

        Both warped frames, the timestep, mask, feature, and the flow in pixels of that size.
        """
        sizes = [made for _, made in found.states]
        if step >= 1 and len(sizes) == 1 and sizes[0] > step:
            return refinement.warp_pair(
                pair.first, pair.second, found.flow, found.states[0][0], times, int(step), int(sizes[0] / step)
            )
        state = summed([at_size_of(values, made, step) for values, made in found.states])
        if step >= 1:
            return refinement.warp_pair(pair.first, pair.second, found.flow, state, times, int(step), 1)
        first, second, flow = refinement.warped_and_reduced(pair.first, pair.second, found.flow, step)
        return torch.cat((first, second, planes(times, state).expand_as(state[:, :1]), state, flow), 1)

    def _refine(self, index: int, output: Tensor, before: Estimate | None, step: Fraction) -> Estimate:
        """Update the estimate by a block's output: add its flow; append or replace its mask and feature."""
        step = step * self._enlarges
        output = output.float()
        flow = None if before is None else before.flow
        if step >= 1:
            flow = refinement.add_flow(flow, output[:, :4], int(step))
        else:
            change = resize_bilinear(output[:, :4], step) * float(step)
            flow = change if flow is None else flow + change
        states = [(output[:, 4:], step)]
        return Estimate(flow, [*before.states, *states] if self.summed and before is not None else states)

    def _for_block(self, x: Tensor) -> Tensor:
        """Convert the input of a block to the type of the weights."""
        return x.to(self._dtype).contiguous(memory_format=torch.channels_last)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype


def _warped(pair: Pair, flow: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """Both frames of a pair warped into a window by its flow [B, 4, h, w]."""
    return warped(pair.first, flow[:, :2], window), warped(pair.second, flow[:, 2:], window)


def _is_known(tensor: Tensor) -> bool:
    """Whether a tensor has a value; counting and tracing have none."""
    return type(tensor) is Tensor and not tensor.is_meta


def _is_on_host(tensor: Tensor) -> bool:
    """Whether the host can read a tensor without waiting for a device; while a network is traced there is no value."""
    return tensor.device.type == "cpu" and type(tensor) is Tensor


def _split(pair: Pair) -> list[Pair]:
    """Split a batch into single pairs."""

    def one(values: Tensor, index: int) -> Tensor:
        return values[index : index + 1]

    return [
        Pair(one(pair.first, index), one(pair.second, index), one(pair.reduced, index))
        for index in range(pair.first.shape[0])
    ]
