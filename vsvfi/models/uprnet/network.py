"""UPR-Net, "A Unified Pyramid Recurrent Network for Video Frame Interpolation" (CVPR 2023, arXiv 2211.03456).

One small network runs at every level of an image pyramid, coarse to fine: it estimates both flows between the two
frames, splats images and features to timestep t, and synthesises the frame from them and from the frame of the
previous level (paper section 3). The flow does not depend on the synthesised frames, so motion is one coarse-to-fine
pass per pair and synthesis another one per timestep. Attribute names are the published keys.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vsvfi.models.blocks.moved import Source, reach, sources, splatted, warped
from vsvfi.models.blocks.tiles import Part, Window, in_windows, windows
from vsvfi.models.interpolator import Interpolator, broadcast_times
from vsvfi.models.uprnet.choice import Candidates, Choice, find_candidates
from vsvfi.models.uprnet.detail import restore_detail
from vsvfi.models.uprnet.fine import FineMatcher, FlowRefiner
from vsvfi.models.uprnet.levels import FEATURES, cropped, flow_pyramid, reduced
from vsvfi.models.uprnet.parts import FeaturePyramid, MotionEstimator, SynthesisNetwork
from vsvfi.ops import activation, blocks, correlation, merge, warp
from vsvfi.ops.merge import merge_images
from vsvfi.ops.splat import warm_up
from vsvfi.ops.warp import resize_bilinear

_TWICE = Fraction(2)

ENCODER = Part("encode_window", 4 + (1 + 3 * 2) + (2 + 3 * 4), FEATURES)
"""Four convolutions at full size; at half and quarter size one of stride 2 and three more."""

SYNTHESIS = Part("merge_window", 2 + (1 + 2 * 2) + (2 + 2 * 4) + (4 + 2) + (2 + 1) + 2 + 1 + 1, FEATURES)
"""The U-Net, down and up again, its last convolution, and one pixel for the detail."""


@dataclass(frozen=True, slots=True)
class Level:
    """One image at one level of the pyramid. h, w are the level's size; c is the base width."""

    image: Tensor  # [B, 3, h, w] BGR, float32
    features: tuple[Tensor, Tensor, Tensor]  # [B, c, h, w], [B, 2c, h/2, w/2], [B, 4c, h/4, w/4]


@dataclass(frozen=True, slots=True)
class Frame:
    """Per-image values: the computed pyramid levels, coarse to fine.

    `others` are those of the further views of an ensemble.
    """

    levels: tuple[Level, ...]
    others: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Per-pair values that do not depend on t. `others` are the further views of an ensemble."""

    first: Frame
    second: Frame
    flows: tuple[tuple[Tensor, Tensor, Tensor], ...]
    """Flow 0->1 and 1->0 per level, coarse to fine, at the level's full, half and quarter size.

    [B, 4, ...] float32, in pixels of its own grid.
    """
    others: tuple[Pair, ...] = ()
    candidates: Candidates | None = None
    """What `choice` chooses from besides."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One frame splatted to t: its image and its features at three sizes.

    `displacement` is that of the image, [B, 2, h, w].
    `copied` is the image warped backwards by what arrived, `covered` where something arrived; both for `fine` alone.
    """

    image: Tensor
    features: tuple[Tensor, Tensor, Tensor]
    displacement: Tensor
    copied: Tensor | None
    covered: Tensor | None


@dataclass(frozen=True, slots=True)
class View:
    """A transformed view of a pair: mirrored along `axes` of [B, 3, H, W], and reversed in time if `backwards`."""

    axes: tuple[int, ...]
    backwards: bool

    def mirrored(self, image: Tensor) -> Tensor:
        return image.flip(self.axes) if self.axes else image


VIEWS = (View((), False), View((2,), True), View((), True), View((3,), False))
"""The views that an ensemble averages, the unchanged one first; an ensemble of two uses the first two."""


class UPRNet(Interpolator[Frame, Pair]):
    """UPR-Net as an `Interpolator`.

    Args:
        width: channels of the finest features; every other width follows from it.
        scale: 1, 1/2 or 1/4: resolution of the finest motion estimate; the levels above it are skipped.
        levels: pyramid levels, the coarsest at 1/2^(levels-1). Sizes are multiples of 2^(levels+1) as published; of
            other multiples of 4, each level is padded by itself, which computes less than padding the image.
        ensemble: how many of `VIEWS` are averaged: 1, 2 or 4, which reduces errors (not part of the paper).
        detail: how much of the detail is restored that splatting blurs; 0 for nothing, as published (ours).
        fine: match on a finer grid at the finest level, and let the synthesis copy backward-warped images (ours).
        search: search the motion of small blocks besides, and choose for each pixel (ours).
        tile: largest edge in pixels of what is encoded and synthesised at once; None for the whole picture.
    """

    parts = (ENCODER, SYNTHESIS)

    def __init__(
        self,
        width: int,
        *,
        scale: Fraction = Fraction(1),
        levels: int = 3,
        ensemble: int = 1,
        detail: float = 0.0,
        fine: bool = False,
        search: bool = False,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        assert not (fine and tile)  # no packaged weights are fine
        self.tile = tile
        if tile:
            self.pieces = ("encode_window", "prepare_pair", "merge_window")
        self.detail = detail
        self.fine = fine
        self.views = VIEWS[:ensemble]
        self.feat_pyramid = FeaturePyramid(width)
        self.motion_estimator = MotionEstimator(width)
        self.synthesis_network = SynthesisNetwork(width, copies=fine)
        if fine:
            self.fine_matcher = FineMatcher(width)
            self.flow_refiner = FlowRefiner(width)
        self.choice = Choice() if search else None
        skipped = scale.denominator.bit_length() - 1
        self.levels = tuple(level for level in reversed(range(levels)) if level >= skipped or level == 0)
        """The computed levels, coarse to fine."""
        self._motion_levels = levels - skipped
        self._shrunk = scale.denominator

    def of_levels(self, levels: int) -> UPRNet:
        """Return a network with the same weights and another number of pyramid levels, all computed.

        The two share their modules, as training on several sizes needs.
        """
        other = copy.copy(self)
        other.levels = tuple(reversed(range(levels)))
        other._motion_levels = levels
        return other

    def prepare_operators(self) -> None:
        pred = self.synthesis_network.pred
        dtype, width = pred.weight.dtype, pred.in_channels // 2
        correlation.warm_up(pred.weight.device, dtype)
        activation.warm_up(pred.weight.device, dtype)
        merge.warm_up(pred.weight.device, dtype)
        if self.choice is not None:
            warp.warm_up(pred.weight.device, ())
            blocks.warm_up(pred.weight.device)
        moved = [(3, torch.float32)] if self.fine else []  # see `_arrived`
        shapes = [[(3, torch.float32), (width, dtype), *moved], [(2 * width, dtype)], [(4 * width, dtype)]]
        warm_up(pred.weight.device, shapes)

    def encode_frame(self, image: Tensor) -> Frame:
        image = image.flip(1)  # the network sees BGR
        plain = self._levels(image)
        others = (plain if not view.axes else self._levels(view.mirrored(image)) for view in self.views[1:])
        return Frame(plain, tuple(Frame(levels) for levels in others))

    def _levels(self, image: Tensor) -> tuple[Level, ...]:
        return tuple(self._level(reduced(image, 2**level)) for level in self.levels)

    def _level(self, image: Tensor) -> Level:
        cut = windows(image.shape[2:], ENCODER, self.tile)
        full, half, quarter = in_windows(cut, lambda window: self.encode_window(window.of(image)))
        return Level(image, (full, half, quarter))

    def encode_window(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the features of an image, or of a window of it."""
        features: tuple[Tensor, Tensor, Tensor] = self.feat_pyramid(image)
        return features

    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        others = []
        for view, before, after in zip(self.views[1:], first.others, second.others, strict=True):
            others.append(self._pair(after, before) if view.backwards else self._pair(before, after))
        flows = self._pair(first, second).flows
        images = first.levels[-1].image, second.levels[-1].image
        found = None
        if self.choice is not None:
            found = find_candidates(*images, flows[-1][0], self.choice.constants, self._shrunk, self.tile)
        return Pair(first, second, flows, tuple(others), found)

    def _pair(self, first: Frame, second: Frame) -> Pair:
        """Estimate the motion of one view."""
        coarsest = first.levels[0].features[2]
        flow = coarsest.new_zeros((coarsest.shape[0], 4, *coarsest.shape[2:]), dtype=torch.float32)
        feature = torch.zeros_like(coarsest)
        pyramids = []
        for index, (before, after) in enumerate(
            zip(first.levels[: self._motion_levels], second.levels[: self._motion_levels], strict=True)
        ):
            if index:
                flow, feature = (
                    cropped(2 * resize_bilinear(coarse, _TWICE), before.features[2]) for coarse in (flow, feature)
                )
            flow, feature = self.motion_estimator(before.features[2], after.features[2], flow, feature)
            pyramids.append(flow_pyramid(flow))
        if self.fine and len(self.levels) == self._motion_levels:
            halves = first.levels[-1].features[1], second.levels[-1].features[1]
            flow, feature = self.fine_matcher(*halves, flow, feature)
            pyramids[-1] = flow_pyramid(self.flow_refiner(*halves, flow, feature), _TWICE)
        if len(self.levels) > self._motion_levels:  # the finest level resizes its flow directly from the last estimate
            factor = 2 ** self.levels[-2]
            resized = factor * resize_bilinear(flow, Fraction(factor))
            pyramids.append(flow_pyramid(cropped(resized, first.levels[-1].features[2])))
        return Pair(first, second, tuple(pyramids))

    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        image = self.shown(pair, t)
        for view, other in zip(self.views[1:], pair.others, strict=True):
            image = image + view.mirrored(self.shown(other, 1 - t if view.backwards else t))
        if pair.others:
            image = image / len(self.views)
        return self.chosen(image, pair, t).flip(1)

    def chosen(self, image: Tensor, pair: Pair, t: Tensor) -> Tensor:
        """Let `choice` decide about a frame [B, 3, H, W] BGR in [0, 1]."""
        if self.choice is None or pair.candidates is None:
            return image
        times = broadcast_times(t, image.shape[0], pair.flows[-1][0]).reshape(-1, 1, 1, 1)
        made: Tensor = self.choice(image, pair.candidates, times, self.tile)
        return made.clamp(0, 1)

    def shown(self, pair: Pair, t: Tensor) -> Tensor:
        """Return the finest image of one view, [B, 3, H, W] BGR in [0, 1]."""
        return self.images(pair, t, detail=self.detail)[-1].clamp(0, 1)

    def flows(self, pair: Pair, t: Tensor) -> dict[str, Tensor]:
        flow = pair.flows[-1][0]
        return {"0-1": flow[:, :2], "1-0": flow[:, 2:]}

    def images(self, pair: Pair, t: Tensor, *, detail: float = 0.0) -> list[Tensor]:
        """Return the frame at t of every level, coarse to fine: [B, 3, h, w] BGR float32.

        Not clamped, since a clamp would stop the gradient of values outside [0, 1].

        Args:
            pair: of batch B or 1.
            t: [B].
            detail: how much detail is restored in the finest level.
        """
        times = broadcast_times(t, pair.first.levels[0].image.shape[0], pair.flows[0][0]).reshape(-1, 1, 1, 1)
        left = 1 - times
        shares = torch.cat((times, times, left, left), 1)
        made: list[Tensor] = []
        for index, (before, after, flows) in enumerate(
            zip(pair.first.levels, pair.second.levels, pair.flows, strict=True)
        ):
            previous = None
            if made:
                factor = Fraction(2 ** (self.levels[index - 1] - self.levels[index]))
                previous = cropped(resize_bilinear(made[-1].clamp(0, 1), factor), before.image)
            amount = detail if index == len(self.levels) - 1 else 0.0
            made.append(self._image(before, after, flows, shares, previous, amount))
        return made

    def _image(
        self,
        before: Level,
        after: Level,
        flows: tuple[Tensor, Tensor, Tensor],
        shares: Tensor,
        previous: Tensor | None,
        detail: float,
    ) -> Tensor:
        """Synthesise the frame of one level, [B, 3, h, w].

        Args:
            before, after, flows: the level's.
            shares: of the flow's channels, [B, 4, 1, 1]: twice the time from the first and to the second frame.
            previous: the last level's frame, clamped, at this size.
            detail: how much detail is restored.
        """
        cut = windows(before.image.shape[2:], SYNTHESIS, self.tile)
        reaches = [] if cut[0].whole else [reach(flows[0][:, :2]), reach(flows[0][:, 2:])]
        times = shares[:, :1], shares[:, 2:3]
        sides = [(before, slice(0, 2), times[0]), (after, slice(2, 4), times[1])]

        def compute(window: Window) -> tuple[Tensor]:
            moved = []
            displacements = [shares * window.of(flow) for flow in flows]
            for index, (level, side, share) in enumerate(sides):
                passes = sources(reaches[index], share, window) if reaches else []
                own, forth = ([values[:, side] for values in both] for both in (flows, displacements))
                moved.append(self._arrived(level, own, forth, share, window, passes))
            originals = window.of(before.image), window.of(after.image)
            shown = None if previous is None else window.of(previous)
            return (self.merge_window(shown, originals, times, moved[0], moved[1], detail),)

        return in_windows(cut, compute)[0]

    def _arrived(
        self,
        level: Level,
        flows: list[Tensor],
        moved: list[Tensor],
        share: Tensor,
        window: Window,
        passes: list[Source],
    ) -> Arrived:
        """Splat one frame's image and features into a window, by `share` of its flows at the three sizes.

        `moved` is that share of the flows of the window.
        """
        entering, forth = [level.image, level.features[0]], moved[0]
        if not self.fine:
            image, *features = splatted(entering, flows[0], share, window, passes, forth)
            copied, covered = None, None
        else:
            ones = torch.ones_like(forth[:, :1])  # show where something arrives; where nothing does, the copy stays
            entering.append(torch.cat((forth, ones), 1))
            image, full, found = splatted(entering, flows[0], share, window, passes, forth)
            features = [full]
            copied, covered = warped(level.image, -found[:, :2], window), found[:, 2:]
        for size in (1, 2):
            features += splatted([level.features[size]], flows[size], share, window, passes, moved[size])
        return Arrived(image, (features[0], features[1], features[2]), forth, copied, covered)

    def merge_window(
        self,
        previous: Tensor | None,
        originals: tuple[Tensor, Tensor],
        times: tuple[Tensor, Tensor],
        first: Arrived,
        second: Arrived,
        detail: float,
    ) -> Tensor:
        """Synthesise the frame of one level, or of a window of it, from what was splatted: [B, 3, h, w].

        Args:
            previous: the last level's frame, clamped, at this size.
            originals: both images.
            times: from the first and to the second frame, [B, 1, 1, 1].
            first, second: both frames, splatted.
            detail: how much detail is restored.
        """
        passed, _ = times
        displacements = first.displacement, second.displacement
        images = [first.image, second.image]
        if previous is None:
            previous = torch.lerp(images[0], images[1], passed)
        batch = previous.shape[0]
        entering = [previous, *images, *(image.expand(batch, -1, -1, -1) for image in originals), *displacements]
        copies = [side.copied for side in (first, second) if side.copied is not None]
        entering += [*copies, *(side.covered for side in (first, second) if side.covered is not None)]
        output = self.synthesis_network(entering, list(zip(first.features, second.features, strict=True)))
        merged = self._merged(output, images + copies, times)
        return restore_detail(merged.clamp(0, 1), displacements, passed, detail) if detail else merged

    def _merged(self, output: Tensor, images: list[Tensor], times: tuple[Tensor, Tensor]) -> Tensor:
        """Average images by the masks among the network's outputs, and add the residual."""
        passed, left = times
        if len(images) == 2:
            return merge_images(output, images[0], images[1], passed)
        output = output.float()
        residual = 2 * torch.sigmoid(output[:, :3]) - 1
        masks = torch.sigmoid(output[:, 3:])
        shares = [masks[:, index : index + 1] * (passed if index % 2 else left) for index in range(len(images))]
        weighted = [image * share for image, share in zip(images, shares, strict=True)]
        return functools.reduce(torch.add, weighted) / functools.reduce(torch.add, shares) + residual
