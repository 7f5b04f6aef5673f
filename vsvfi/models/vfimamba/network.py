"""VFIMamba, "Video Frame Interpolation with State Space Models" (NeurIPS 2024, arXiv 2407.02315).

Selective scans mix the features of both frames (backbone, ssm); flow and mask are estimated from them (motion), and a
U-Net corrects the blend of the warped images (synthesis). Nothing before the flow depends on t. Attribute names are
the published keys; internally, images are BGR.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsvfi.models.blocks.constants import Constants
from vsvfi.models.blocks.moved import warped
from vsvfi.models.blocks.tiles import Part, Window, in_windows, windows
from vsvfi.models.interpolator import Interpolator, broadcast_times
from vsvfi.models.vfimamba.backbone import Backbone, Embedded
from vsvfi.models.vfimamba.motion import Head, LocalBlock, motion_map
from vsvfi.models.vfimamba.synthesis import UNet, warped_pyramid
from vsvfi.ops import activation, warp
from vsvfi.ops.scan import warm_up
from vsvfi.ops.warp import resize_bilinear

ENCODER = Part("encode_window", 2 + (1 + 2 * 2) + (2 + 2 * 4) + 4, 8)
"""Stages 0 to 2 of two convolutions each, and the convolutions of stride 2 between and after them."""

LOCAL = Part("refine_window", 2 * (1 + 3 + 8 * 4 + 4 + 2) + (3 + 8 * 4 + 4 + 2), 16)
"""Both local blocks, the first at half size: two convolutions of stride 2, eight more, a transposed one, a resize."""

UNET = Part("correct_window", (1 + 2) + (2 + 4) + (4 + 8) + (8 + 16) + (16 + 8 + 4 + 2) + 1, 16)
"""Four times down and up again, and the last convolution."""


@dataclass(frozen=True, slots=True)
class FrameView:
    """Per-image values of one view, unchanged or rotated."""

    image: Tensor  # [B, 3, H, W] BGR
    features: tuple[Tensor, Tensor, Tensor]  # stages 0, 1, 2 at full size
    embedded: Embedded  # the beginning of stage 3 at full size
    reduced: Tensor  # [B, 3, sH, sW]; the image itself at scale 1
    reduced_embedded: Embedded  # the beginning of stage 3 at reduced size; the same object at scale 1


@dataclass(frozen=True, slots=True)
class PairView:
    """Per-pair values of one view that do not depend on t."""

    first: Tensor  # [B, 3, H, W]
    second: Tensor  # [B, 3, H, W]
    first_reduced: Tensor  # [B, 3, sH, sW]
    second_reduced: Tensor  # [B, 3, sH, sW]
    features: tuple[tuple[Tensor, Tensor], ...]  # (first, second) of stages 0 to 4 at full size
    coarse: Tensor  # [B, 4F, sH/4, sW/4]: head 0's first convolution without its time plane
    motion: Tensor  # [B, F, sH/2, sW/2]: head 1's features


type Frame = tuple[FrameView, ...]
"""One view or, with test-time augmentation, two: the frame, and the frame rotated by 180 degrees."""

type Pair = tuple[PairView, ...]


class VFIMamba(Interpolator[Frame, Pair]):
    """VFIMamba as an `Interpolator`.

    Args:
        width: F, channels of the first stage.
        scale: resolution of the flow estimation's features, relative to the images.
        local: refine the flow by the local blocks.
        hr: with a scale below 1, run the local blocks at reduced size too.
        tta: average with the prediction for both frames rotated by 180 degrees; takes twice the time.
        tile: largest edge in pixels of what is encoded, refined and corrected at once; None for the whole picture.
    """

    parts = (ENCODER, LOCAL, UNET)

    def __init__(
        self,
        width: int,
        *,
        scale: Fraction = Fraction(1),
        local: bool = True,
        hr: bool = False,
        tta: bool = False,
        tile: int | None = None,
    ) -> None:
        super().__init__()
        self.tile = tile
        if tile:
            self.pieces = ("encode_window", "meet", "estimate_coarse", "refine_window", "correct_window")
        self.scale, self.local, self.hr, self.tta = scale, local, hr, tta
        self._constants = Constants(self)
        self.feature_bone = Backbone(width)
        self.block = nn.ModuleList((Head(2 * width + 7, 4 * width, 16), Head(width + 18, 4 * width, 8)))
        self.local_block = nn.ModuleList((LocalBlock(4 * width, 2), LocalBlock(4 * width, 1)))
        self.unet = UNet(width)

    def prepare_operators(self) -> None:
        weight = self.unet.conv.weight
        warm_up(weight.device, weight.dtype)
        warp.warm_up(weight.device, [weight.dtype])
        activation.warm_up(weight.device, weight.dtype)

    def encode_frame(self, image: Tensor) -> Frame:
        bgr = image.flip(1)
        return tuple(self._view(view) for view in ((bgr, bgr.flip(2, 3)) if self.tta else (bgr,)))

    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        return tuple(self.meet(*views) for views in zip(first, second, strict=True))

    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        image, *rotated = [self.predict(view, t) for view in pair]
        if rotated:
            image = (image + rotated[0].flip(2, 3)) / 2
        return image.flip(1)

    def flows(self, pair: Pair, t: Tensor) -> dict[str, Tensor]:
        flow, _ = self.estimate(pair[0], t)
        return {"t-0": flow[:, :2].float(), "t-1": flow[:, 2:].float()}

    def predict(self, view: PairView, t: Tensor) -> Tensor:
        """Synthesise the frame at t [T] of one view, BGR [T, 3, H, W] in [0, 1] (section 3.4)."""
        flow, mask = self.estimate(view, t)

        def compute(window: Window) -> tuple[Tensor]:
            own, logit = window.of(flow), window.of(mask)
            levels = warped_pyramid(view.features, own, window)
            return (self.correct_window(_images(view.first, view.second, own, window), logit, own, levels),)

        return in_windows(windows(flow.shape[2:], UNET, self.tile), compute)[0]

    def correct_window(self, images: Tensor, mask: Tensor, flow: Tensor, levels: list[Tensor]) -> Tensor:
        """Blend both warped images and correct the blend, for the picture or a window of it: [T, 3, H, W]."""
        refined: Tensor = self.unet(torch.cat((images, mask, flow), 1), levels)
        weight = torch.sigmoid(mask)
        return (images[:, 6:9] * weight + images[:, 9:] * (1 - weight) + 2 * refined - 1).clamp(0, 1)

    def estimate(self, view: PairView, t: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate flow [T, 4, H, W] and mask logit [T, 1, H, W] at full size (section 3.3)."""
        flow, mask = self.estimate_coarse(view, t)
        if self.local and self.hr:
            flow, mask = self._refine(view.first_reduced, view.second_reduced, flow, mask)
        flow = resize_bilinear(flow, 1 / self.scale) * float(1 / self.scale)
        mask = resize_bilinear(mask, 1 / self.scale)
        if self.local and not self.hr:
            flow, mask = self._refine(view.first, view.second, flow, mask)
        return flow, mask

    def estimate_coarse(self, view: PairView, t: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate flow [T, 4, sH, sW] and mask logit [T, 1, sH, sW] by both heads."""
        head0, head1 = self._heads()
        times = broadcast_times(t, view.coarse.shape[0], view.coarse).reshape(-1, 1, 1, 1)
        flow, mask = head0(view.coarse + times.to(view.coarse.dtype) * self._time_response(view.coarse))

        images = _images(view.first_reduced, view.second_reduced, flow)
        plane = times.expand(flow.shape[0], 1, *flow.shape[2:])
        shown = resize_bilinear(torch.cat((images, mask, plane), 1), head1.shrink)
        small = resize_bilinear(flow, head1.shrink) * float(head1.shrink)
        motion = view.motion.expand(flow.shape[0], -1, -1, -1)
        flow_step, mask_step = head1(
            head1.entrance(torch.cat((motion, shown.to(motion.dtype), small.to(motion.dtype)), 1))
        )
        return flow + flow_step, mask + mask_step

    def _refine(self, first: Tensor, second: Tensor, flow: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run both local blocks in sequence; they do not depend on t."""

        def compute(window: Window) -> tuple[Tensor, Tensor]:
            own, logit = window.of(flow), window.of(mask)
            for index in range(len(self.local_block)):
                own, logit = self.refine_window(_images(first, second, own, window), own, logit, index)
            return own, logit

        flow, mask = in_windows(windows(flow.shape[2:], LOCAL, self.tile), compute)
        return flow, mask

    def refine_window(self, images: Tensor, flow: Tensor, mask: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Run one local block on the picture or a window of it; returns the refined flow and mask."""
        flow_step, mask_step = self.local_block[index](torch.cat((images, mask), 1), flow)
        return flow + flow_step, mask + mask_step

    def _view(self, image: Tensor) -> FrameView:
        features, embedded = self._single(image)
        if self.scale == 1:
            return FrameView(image, features, embedded, image, embedded)
        reduced = resize_bilinear(image, self.scale)
        return FrameView(image, features, embedded, reduced, self._single(reduced)[1])

    def _single(self, image: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Embedded]:
        """Compute the features of one image in stages 0 to 2, and the start of stage 3."""
        cut = windows(image.shape[2:], ENCODER, self.tile)
        f0, f1, f2, entering = in_windows(cut, lambda window: self.encode_window(window.of(image)))
        return (f0, f1, f2), self.feature_bone.open(entering)

    def encode_window(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute the convolutional features of an image or a window of it."""
        return self.feature_bone.single(image.to(self.unet.conv.weight.dtype))

    def meet(self, first: FrameView, second: FrameView) -> PairView:
        """Prepare one view of a pair."""
        f3, f4 = self.feature_bone.both(first.embedded, second.embedded)
        r3, r4 = (
            (f3, f4) if self.scale == 1 else self.feature_bone.both(first.reduced_embedded, second.reduced_embedded)
        )
        head0, _ = self._heads()
        entrance = head0.entrance
        shown = resize_bilinear(torch.cat((first.reduced, second.reduced), 1), head0.shrink)
        entering = torch.cat((motion_map(r4), shown.to(r4.dtype)), 1)
        batch = first.image.shape[0]
        return PairView(
            first.image,
            second.image,
            first.reduced,
            second.reduced,
            (*zip(first.features, second.features, strict=True), (f3[:batch], f3[batch:]), (f4[:batch], f4[batch:])),
            functional.conv2d(entering, entrance.weight[:, :-1], entrance.bias, padding=1),
            motion_map(r3),
        )

    def _time_response(self, coarse: Tensor) -> Tensor:
        """Return the response of head 0's first convolution to a time plane of ones, [1, 4F, sH/4, sW/4]."""

        def compute() -> Tensor:
            entrance = self._heads()[0].entrance
            ones = coarse.new_ones(1, 1, *coarse.shape[2:])
            return functional.conv2d(ones, entrance.weight[:, -1:], padding=1)

        return self._constants.get(("time_response", coarse.shape[2:], coarse.device, coarse.dtype), compute)

    def _heads(self) -> tuple[Head, Head]:
        head0, head1 = self.block
        assert isinstance(head0, Head)
        assert isinstance(head1, Head)
        return head0, head1


def _images(first: Tensor, second: Tensor, flow: Tensor, window: Window | None = None) -> Tensor:
    """Concatenate both images, and both warped by the flow: [T, 12, H, W], or a window of it, whose flow is given."""
    (window,) = windows(flow.shape[2:], UNET, None) if window is None else (window,)
    moved = warped(first, flow[:, :2], window), warped(second, flow[:, 2:], window)
    shown = (window.of(image).expand(flow.shape[0], -1, -1, -1) for image in (first, second))
    return torch.cat((*shown, *moved), 1)
