"""GIMM-VFI in training: the motion module alone on flows (stage 1), and the whole network (stage 2)."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor, nn

from scripts.train.batch import Batch
from scripts.train.forms.form import Form, Losses, reset, use_batch_statistics
from scripts.train.losses.motion import NormalisedFlows, StageTwo, flow_loss, normalised, stage_two
from scripts.train.losses.perceptual import Perceptual
from vsvfi.models.gimmvfi.motion import splat_weights, splatted
from vsvfi.models.gimmvfi.network import GIMMVFI, Pair
from vsvfi.ops.warp import backward_warp, resize_bilinear

MOTION = ("cnn_encoder.", "res_conv.", "alpha_", "hyponet.")
"""Prefixes of the motion module's keys."""

ESTIMATOR, DECODERS = "flow_estimator.", "amt_"
"""Prefixes of the flow estimator's and the decoders' keys."""

SECTIONS = ((ESTIMATOR,), MOTION, (DECODERS,))

SHARE = 0.1
"""Share of the pixels at which stage 2 compares flows."""


def latents_at(
    network: GIMMVFI,
    latents: tuple[Tensor, Tensor],
    flows: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    times: Tensor,
) -> Tensor:
    """Splat both latents to t [B, 1, 1, 1] and refine them at every pixel: [B, 32, H, W]."""
    carried = torch.cat(splatted(latents, flows, weights, times), 1)
    refined: Tensor = carried + network.res_conv(torch.cat((*latents, carried), 1))
    return refined


def answers(network: GIMMVFI, latents: Tensor, times: Tensor, points: Tensor | None = None) -> Tensor:
    """Evaluate the implicit network: normalised flow [B, N, 2].

    Args:
        network: with its implicit network.
        latents: [B, 32, H, W].
        times: [B].
        points: indices of pixels in raster order, [N]; None for all.
    """
    batch, _, height, width = latents.shape
    places = torch.arange(height * width, device=latents.device) if points is None else points
    x = -1 + 2 * ((places % width).float() + 0.5) / width
    y = -1 + 2 * ((places // width).float() + 0.5) / height
    found = latents.flatten(2)[..., places].transpose(1, 2)
    time = times.to(found)[:, None, None].expand(batch, len(places), 1)
    place = torch.stack((y, x), 1).to(found).expand(batch, -1, -1)
    result: Tensor = network.hyponet(torch.cat((found, time, place), 2))
    return result


def initialise_motion(network: GIMMVFI) -> None:
    """Draw the initial weights of the motion module."""
    reset(network.cnn_encoder)
    reset(network.res_conv)
    nn.init.ones_(network.alpha_v)
    nn.init.ones_(network.alpha_fe)
    with torch.no_grad():
        for index in range(5):
            weight = network.hyponet.params_dict[f"linear_wb{index}"]
            nn.init.uniform_(
                weight[:-1], *((-1 / 35, 1 / 35) if index == 0 else (-((6 / 128) ** 0.5), (6 / 128) ** 0.5))
            )
            nn.init.uniform_(weight[-1:], *((-1.0, 1.0) if index == 0 else (-(6**0.5), 6**0.5)))


class MotionForm(Form):
    """Stage 1: the flow at t = 0, 1/2 or 1 from the flows of the outer frames.

    A batch holds the flows between the outer frames (`motion`) and from the middle one (`flow`), at t = 1/2.
    """

    parts = drawn = MOTION
    sections = SECTIONS
    network: GIMMVFI

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        target = int(torch.randint(3, (1,), generator=random)) / 2
        return self.at(batch, target)

    def at(self, batch: Batch, t: float) -> Losses:
        """Compute the loss for one target, t = 0, 1/2 or 1, of all samples."""
        assert batch.motion is not None
        assert batch.flow is not None
        forth, back = batch.motion[:, :2], batch.motion[:, 2:]
        flows = normalised(forth, back, (batch.flow[:, 2:], batch.flow[:, :2]))
        target = {0.0: flows.first, 0.5: flows.middle, 1.0: flows.second}[t]
        assert target is not None
        network = self.network
        latents = network.cnn_encoder(flows.first), network.cnn_encoder(flows.second)
        weights = (
            splat_weights(forth, back, network.alpha_fe, network.alpha_v),
            splat_weights(back, forth, network.alpha_fe, network.alpha_v),
        )
        times = torch.full_like(batch.t, t)
        refined = latents_at(network, latents, (forth, back), weights, times[:, None, None, None])
        loss = flow_loss(answers(network, refined, times), target.flatten(2).transpose(1, 2))
        return Losses(loss, {"flow": loss}, None)

    def initialise(self) -> None:
        initialise_motion(self.network)


class GIMMVFIForm(Form):
    """Stage 2: the whole network.

    Args:
        network: at scale 1.
        perceptual: LPIPS with AlexNet, or None for the plain models.
        batch_statistics: use statistics of the batch in batch norms, as published; else the stored ones.
    """

    drawn: tuple[str, ...] = (DECODERS,)
    required: tuple[str, ...] = (ESTIMATOR, *MOTION)
    sections = SECTIONS
    network: GIMMVFI

    def __init__(
        self, network: GIMMVFI, perceptual: Perceptual | None = None, *, batch_statistics: bool = True
    ) -> None:
        super().__init__(network)
        self.perceptual = perceptual
        if batch_statistics:
            use_batch_statistics(network)

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        pixels = batch.first.shape[2] * batch.first.shape[3]
        points = [torch.randperm(pixels, generator=random)[: int(SHARE * pixels)] for _ in range(2)]
        return self.at(batch, (points[0], points[1]))

    def at(self, batch: Batch, points: tuple[Tensor, Tensor]) -> Losses:
        """Compute the losses, comparing flows at these pixels for t = 0 and t = 1."""
        network = self.network
        pair = network.prepare_pair(network.encode_frame(batch.first), network.encode_frame(batch.second))
        times = batch.t[:, None, None, None]
        flow, mask, feature = network.start(pair, times)
        preview = _preview(pair, flow, mask)
        image = network.finish(pair, times, flow, mask, feature)
        found, targets = self._flows(pair, points)
        total, parts = stage_two(StageTwo(image, preview, found, targets), batch.truth, self.perceptual)
        return Losses(total, parts, image.detach())

    def _flows(self, pair: Pair, points: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the implicit network's flow at t = 0 and t = 1, and the estimator's."""
        known: NormalisedFlows = normalised(*pair.flows)
        found, targets = [], []
        for t, field, places in zip((0.0, 1.0), (known.first, known.second), points, strict=True):
            where = places.to(field.device)
            times = torch.full((field.shape[0],), t, device=field.device)
            refined = latents_at(self.network, pair.latents, pair.flows, pair.weights, times[:, None, None, None])
            found.append(answers(self.network, refined, times, where))
            targets.append(field.flatten(2)[..., where].transpose(1, 2))
        return (found[0], found[1]), (targets[0], targets[1])

    def initialise(self) -> None:
        """Draw the decoders' weights; flow estimator and motion module begin with their own."""
        for name, module in self.network.named_children():
            if name.startswith(DECODERS):
                reset(module)


class DecoderForm(GIMMVFIForm):
    """Fine-tuning of the decoders alone, with stored statistics and the published flow estimator."""

    parts = (DECODERS,)
    drawn, required = (), (ESTIMATOR, *MOTION, DECODERS)

    def __init__(self, network: GIMMVFI, perceptual: Perceptual | None = None) -> None:
        super().__init__(network, perceptual, batch_statistics=False)


def _preview(pair: Pair, flow: Tensor, mask: Tensor) -> Tensor:
    """Blend the frames by the initial decoder's flows [B, 4, H/4, W/4] and mask logit."""
    large = 4 * resize_bilinear(flow, Fraction(4))
    weight = torch.sigmoid(resize_bilinear(mask, Fraction(4)))
    first, second = (2 * frame.reduced - 1 for frame in (pair.first, pair.second))
    blend = weight * backward_warp(first, large[:, :2]) + (1 - weight) * backward_warp(second, large[:, 2:])
    return ((blend + 1) / 2).clamp(0, 1)
