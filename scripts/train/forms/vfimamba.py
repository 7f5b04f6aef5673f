"""VFIMamba in training, with its sibling's loss: Laplacian pyramids of the frame and of the merged images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from scripts.train.batch import Batch
from scripts.train.forms.form import Form, Losses, recorded, reset
from scripts.train.losses.pixels import laplacian
from vsvfi.models.vfimamba.network import VFIMamba
from vsvfi.models.vfimamba.ssm import SS2D
from vsvfi.ops.warp import backward_warp


class VFIMambaForm(Form):
    """VFIMamba at scale 1 with its losses."""

    network: VFIMamba

    def forward(self, batch: Batch, random: torch.Generator) -> Losses:
        network = self.network
        (view,) = network.prepare_pair(network.encode_frame(batch.first), network.encode_frame(batch.second))
        with recorded((*network.block, *network.local_block)) as steps:
            image = network.predict(view, batch.t)
        truth = batch.truth.flip(1)
        parts = {"prediction": laplacian(image, truth)}
        for index, merged in enumerate(_merged(view.first, view.second, steps)):
            parts[f"merged{index}"] = laplacian(merged, truth)
        total = (parts["prediction"] + sum(parts.values(), start=torch.zeros_like(parts["prediction"]))) / 2
        return Losses(total, parts, image.detach().flip(1))

    def trained(self) -> dict[str, nn.Parameter]:
        weights = super().trained()
        local = self.network.local
        return {name: weight for name, weight in weights.items() if local or not name.startswith("local_block.")}

    def initialise(self) -> None:
        reset(self.network)
        for module in self.network.feature_bone.modules():
            _initialise(module)


def _merged(first: Tensor, second: Tensor, steps: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Blend the warped images after each of the last two steps of flow [B, 4, H, W] and mask logit."""
    flow, mask = steps[0]
    states = [(flow, mask)]
    for flow_step, mask_step in steps[1:]:
        flow, mask = flow + flow_step, mask + mask_step
        states.append((flow, mask))
    made = []
    for flow, mask in states[-2:]:
        weight = torch.sigmoid(mask)
        one, other = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
        made.append(weight * one + (1 - weight) * other)
    return made


def _initialise(module: nn.Module) -> None:
    """Draw the backbone's initial weights of one module."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / fan))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, SS2D):
        bound = module.rank**-0.5
        nn.init.uniform_(module.dt_projs_weight, -bound, bound)
        low, high = math.log(1e-3), math.log(0.1)
        with torch.no_grad():
            step = torch.exp(torch.rand_like(module.dt_projs_bias) * (high - low) + low).clamp(min=1e-4)
            module.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))  # softplus of it is `step`
        bound = module.inner**-0.5
        nn.init.uniform_(module.x_proj_weight, -bound, bound)
