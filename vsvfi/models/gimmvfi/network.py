"""GIMM-VFI, "Generalizable Implicit Motion Modeling" (NeurIPS 2024, arXiv 2407.08680): the three phases.

A flow estimator takes the two frames; an implicit network turns both flows into the flow at any t (motion); decoders
synthesise the frame from it (synthesis). Only splatting, implicit network and synthesis depend on t. Attribute names
are the published keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from vsvfi.models.blocks.moved import warped
from vsvfi.models.blocks.tiles import Part, Window, in_windows, windows
from vsvfi.models.flow.estimator import FlowEstimator, FlowFeatures
from vsvfi.models.flow.flowformer import FlowFormer
from vsvfi.models.flow.raft import RAFT
from vsvfi.models.flow.recurrence import pixel_grid
from vsvfi.models.gimmvfi.motion import (
    LATENT,
    ImplicitNetwork,
    encode_flows,
    flow_scale,
    latent_refinement,
    motion_encoder,
    splat_weights,
    splatted,
    used_latents,
)
from vsvfi.models.gimmvfi.spec import strip_budget
from vsvfi.models.gimmvfi.synthesis import (
    Branches,
    FinalDecoder,
    InitialDecoder,
    Update,
    average,
    branches,
    candidates,
    combination,
    enlarged,
    merge,
    window_inputs,
)
from vsvfi.models.interpolator import Interpolator, broadcast_times
from vsvfi.ops import activation, splat, warp
from vsvfi.ops.lookup import Correlation, correlate, lookup, warm_up
from vsvfi.ops.warp import resize_bilinear

LEVELS, RADIUS = 4, 4
"""Levels of the correlation pyramids, and radius of the window looked up in each level."""

_QUARTER, _HALF, _TWICE = Fraction(1, 4), Fraction(1, 2), Fraction(2)

TRUNK = Part("decode_window", halo=20, multiple=4)
"""Three pixels of the halo are for the feature, which is enlarged fourfold from the window's part of it."""

MERGE = Part("merge_window", halo=6, multiple=4)


@dataclass(frozen=True, slots=True)
class Estimator:
    """A flow estimator that the network can have.

    Attributes:
        build: builds it from the maximum bytes of its correlation.
        projected: its channels at a quarter and an eighth, if they need projecting to 128 and 256; else None.
    """

    build: Callable[[int], FlowEstimator[Any]]
    projected: tuple[int, int] | None


ESTIMATORS: Mapping[str, Estimator] = {
    "raft": Estimator(lambda budget: RAFT(budget=budget), (96, 128)),
    "flowformer": Estimator(lambda budget: FlowFormer(volume_budget=budget, map_budget=budget), None),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Per-image values. H, W are the sizes after scaling."""

    image: Tensor  # [B, 3, H', W'] in [0, 1], as given
    reduced: Tensor  # [B, 3, H, W] in [0, 1]; the image itself at scale 1
    flow: FlowFeatures
    matching: Tensor  # [B, 256, H/8, W/8]
    quarter: Tensor  # [B, 128, H/4, W/4]
    full: Tensor  # [B, 64, H, W]


@dataclass(frozen=True, slots=True)
class Pair:
    """Per-pair values that do not depend on t."""

    first: Frame
    second: Frame
    flows: tuple[Tensor, Tensor]  # [B, 2, H, W] float32 each: first -> second, second -> first
    scale: Tensor  # [B, 1, 1, 1] float32: what flows were divided by
    latents: tuple[Tensor, Tensor]  # [B, 16, H, W] float32 each
    weights: tuple[Tensor, Tensor]  # [B, 1, H, W] float32 each, for splatting
    forth: Correlation  # cost maps over the second frame, one for each pixel of the first
    back: Correlation  # the other way round


class GIMMVFI(Interpolator[Frame, Pair]):
    """GIMM-VFI as an `Interpolator`.

    Args:
        estimator: name of its flow estimator.
        scale: resolution of everything but the final merge (the published DS_SCALE); above 0, at most 1.
        memory: MiB for correlation volumes (a quarter of it) and full-size activations (the rest).
        tile: largest edge in pixels of what is decoded and merged at once, and whose pixels other activations may
            take as strips; None for the whole picture and for what `memory` allows.

    Larger correlation volumes are computed on demand, and larger full-size convolutions run in strips; neither changes
    the result.
    """

    full_precision = ("alpha_", "cnn_encoder.", "res_conv.", "hyponet.")
    # The motion model normalises flows by their largest displacement, of which half precision resolves only 1/2000.

    parts = (TRUNK, MERGE)

    def __init__(
        self, estimator: str, *, scale: Fraction = Fraction(1), memory: int = 4096, tile: int | None = None
    ) -> None:
        super().__init__()
        self.scale, self.tile = scale, tile
        self.volumes, self.activations = memory << 18, 3 * memory << 18
        if tile:
            self.activations = min(self.activations, strip_budget(tile, scale))
            self.pieces = ("encode_frame", "prepare_pair", "decode_coarse", "decode_window", "merge_window")
        kind = ESTIMATORS[estimator]
        self.flow_estimator = kind.build(self.volumes)
        self.alpha_fe, self.alpha_v = (nn.Parameter(torch.ones(1, dtype=torch.float32, device="cpu")) for _ in range(2))
        if kind.projected is not None:
            self.amt_second_last_cproj, self.amt_last_cproj = (
                nn.Conv2d(kind.projected[0], 128, 1),
                nn.Conv2d(kind.projected[1], 256, 1),
            )
            self.amt_fproj = nn.Conv2d(256, 256, 1)
        self._projected = kind.projected is not None
        self.cnn_encoder, self.res_conv, self.hyponet = motion_encoder(), latent_refinement(), ImplicitNetwork()
        self.amt_init_decoder, self.amt_final_decoder = InitialDecoder(), FinalDecoder()
        self.amt_update4_low, self.amt_update4_high = Update(), Update()
        self.amt_comb_block = combination()

    def prepare_operators(self) -> None:
        self.flow_estimator.prepare_operators()
        splat.warm_up(self.alpha_v.device, [[(LATENT, torch.float32)]], kind="linear")
        dtype = self.amt_update4_low.convc1.weight.dtype
        warm_up(self.alpha_v.device, dtype)
        warp.warm_up(self.alpha_v.device, [dtype])
        for number in {dtype, torch.float32}:  # the motion model stays float32
            activation.warm_up(self.alpha_v.device, number)

    def encode_frame(self, image: Tensor) -> Frame:
        reduced = resize_bilinear(image, self.scale)
        flow = self.flow_estimator.encode(2 * reduced - 1)
        quarter, eighth, matching = flow.quarter, flow.eighth, flow.matching
        if self._projected:
            quarter, eighth, matching = (
                self.amt_second_last_cproj(quarter),
                self.amt_last_cproj(eighth),
                self.amt_fproj(matching),
            )
        full = self.amt_final_decoder.features(quarter, self.activations)
        return Frame(image, reduced, flow, matching, self.amt_init_decoder.upsample(eighth), full)

    def prepare_pair(self, first: Frame, second: Frame) -> Pair:
        forth, back = self.flow_estimator.estimate(first.flow, second.flow)
        scale = flow_scale(forth, back)
        normalised = torch.cat((forth / scale, -back / scale))
        latents = encode_flows(self.cnn_encoder, (normalised + 1) / 2, self.activations).chunk(2)
        forth, back = forth.detach(), back.detach()  # in training, splatting gives the flow estimator no gradient
        weights = [
            splat_weights(flow, partner, self.alpha_fe, self.alpha_v)
            for flow, partner in ((forth, back), (back, forth))
        ]
        compared = [
            correlate(
                source.matching, target.matching, levels=LEVELS, factor=1 / 16, budget=self.volumes // 2, lookups=1
            )
            for source, target in ((first, second), (second, first))
        ]
        return Pair(
            first,
            second,
            (forth, back),
            scale,
            (latents[0], latents[1]),
            (weights[0], weights[1]),
            compared[0],
            compared[1],
        )

    def synthesise(self, pair: Pair, t: Tensor, **inputs: Tensor) -> Tensor:
        times = broadcast_times(t, pair.scale.shape[0], pair.scale).reshape(-1, 1, 1, 1)
        if self.tile:
            return self._in_windows(pair, times)
        return self.finish(pair, times, *self.start(pair, times))

    def finish(self, pair: Pair, times: Tensor, flow: Tensor, mask: Tensor, feature: Tensor) -> Tensor:
        """Synthesise the frame from the initial decoder's outputs."""
        flow, mask, feature = self.update(pair, times, flow, mask, feature)
        decoded = self.amt_final_decoder(
            (pair.first.full, pair.second.full), _reduced(pair), flow, mask, feature, self.activations
        )
        merged = merge(decoded, (2 * pair.first.image - 1, 2 * pair.second.image - 1), self.amt_comb_block)
        # At 0 and 1 the lookup divides by zero; the result is a source frame.
        return torch.where(times == 0, pair.first.image, torch.where(times == 1, pair.second.image, merged))

    def decode_coarse(self, pair: Pair, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the initial decoder and the updates for times [T, 1, 1, 1]: flows, mask logit and feature."""
        return self.update(pair, times, *self.start(pair, times))

    def decode_window(self, inputs: Tensor) -> Tensor:
        """Run the final decoder's trunk on a window of its input: [B, 273, h, w] -> [B, 24, h, w]."""
        made: Tensor = self.amt_final_decoder.convblock(inputs)
        return made

    def merge_window(self, made: Tensor) -> Tensor:
        """Merge the frames of all branches, or a window of them: [B, 9, h, w] -> [B, 3, h, w]."""
        return average(made, self.amt_comb_block)

    def _in_windows(self, pair: Pair, times: Tensor) -> Tensor:
        """Decode windows of the reduced picture, then warp and merge windows of the picture."""
        flow, mask, feature = self.decode_coarse(pair, times)
        given, images, features = enlarged(flow, mask), _reduced(pair), (pair.first.full, pair.second.full)

        def decode(window: Window) -> tuple[Tensor]:
            return (self.decode_window(window_inputs(window, features, images, given, feature)).float(),)

        assert self.tile is not None
        cut = windows(given.shape[2:], TRUNK, max(1, int(self.tile * self.scale)))
        return self._merged(pair, times, branches(given, in_windows(cut, decode)[0]))

    def _merged(self, pair: Pair, times: Tensor, decoded: Branches) -> Tensor:
        """Warp both frames by the branches and merge them in windows of the picture."""
        images = pair.first.image, pair.second.image
        part = replace(MERGE, halo=MERGE.halo + ceil(1 / self.scale), multiple=MERGE.multiple * self.scale.denominator)

        def compute(window: Window) -> tuple[Tensor]:
            own = Branches(*(window.of(getattr(decoded, field.name)) for field in fields(decoded)))
            made = candidates(own, 1 / self.scale, lambda index, flow: 2 * warped(images[index], flow, window) - 1)
            merged = self.merge_window(made)
            first, second = (window.of(image) for image in images)
            return (torch.where(times == 0, first, torch.where(times == 1, second, merged)),)

        return in_windows(windows(images[0].shape[2:], part, self.tile), compute)[0]

    def motion(self, pair: Pair, times: Tensor) -> Tensor:
        """Return the flow at t in full-size pixels, averaged over the used pixels of each 4x4 block.

        Takes times [T, 1, 1, 1], returns [T, 2, H/4, W/4] float32.
        """
        carried = splatted(pair.latents, pair.flows, pair.weights, times)
        refined = used_latents(self.res_conv, pair.latents, carried, self.activations)
        return (2 * self.hyponet.at_used_pixels(refined, times.flatten()) - 1) * pair.scale

    def flows(self, pair: Pair, t: Tensor) -> dict[str, Tensor]:
        """Return the motion at every pixel; synthesis evaluates only a quarter of them (`motion`)."""
        times = broadcast_times(t, pair.scale.shape[0], pair.scale).reshape(-1, 1, 1, 1)
        batch = times.shape[0]
        carried = torch.cat(splatted(pair.latents, pair.flows, pair.weights, times), 1)
        latents = [latent.expand(batch, -1, -1, -1) for latent in pair.latents]
        refined = carried + self.res_conv(torch.cat((*latents, carried), 1))
        flow = (2 * self.hyponet.at_all_pixels(refined, times.flatten()) - 1) * pair.scale
        between = [resize_bilinear(part, 1 / self.scale) / float(self.scale) for part in (*pair.flows, flow)]
        return dict(zip(("0-1", "1-0", "t"), between, strict=True))

    def start(self, pair: Pair, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the initial decoder's flows [T, 4, H/4, W/4], mask logit and feature."""
        motion = self.motion(pair, times) / 4
        images = [resize_bilinear(2 * frame.reduced - 1, _QUARTER) for frame in (pair.first, pair.second)]
        features = pair.first.quarter, pair.second.quarter
        decoded: tuple[Tensor, Tensor, Tensor] = self.amt_init_decoder(
            features, (-times * motion, (1 - times) * motion), (images[0], images[1])
        )
        return decoded

    def update(
        self, pair: Pair, times: Tensor, flow: Tensor, mask: Tensor, feature: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Update flows and feature by correlation; the mask is unchanged."""
        low_flow = resize_bilinear(flow, _HALF) / 2
        seen = self.correlated(pair, times, low_flow)
        low, high = self.amt_update4_low, self.amt_update4_high
        feature_step, flow_step = low(resize_bilinear(feature, _HALF), low_flow, low.convc1(seen))
        feature, flow = feature + resize_bilinear(feature_step, _TWICE), flow + 2 * resize_bilinear(flow_step, _TWICE)
        feature_step, flow_step = high(feature, flow, resize_bilinear(high.convc1(seen), _TWICE))
        return flow + flow_step, mask, feature + feature_step

    def correlated(self, pair: Pair, times: Tensor, flow: Tensor) -> Tensor:
        """Look up correlation where linear motion through the pixels at t leads: [T, 648, H/8, W/8].

        `flow` is [T, 4, H/8, W/8], to both frames.
        """
        grid = pixel_grid(flow.shape[2], flow.shape[3], flow.device)
        first, second = flow[:, :2], flow[:, 2:]
        return torch.cat(
            (lookup(pair.forth, grid + second / (1 - times), RADIUS), lookup(pair.back, grid + first / times, RADIUS)),
            1,
        )


def _reduced(pair: Pair) -> tuple[Tensor, Tensor]:
    """Both reduced frames in [-1, 1]."""
    return 2 * pair.first.reduced - 1, 2 * pair.second.reduced - 1
