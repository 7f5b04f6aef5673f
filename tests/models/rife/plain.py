"""A literal implementation of RIFE's definition, without any shortcut, as a reference for the network. Slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional

from vsvfi.models.rife.spec import Version
from vsvfi.ops.warp import backward_warp, resize_bilinear


def leaky(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, 0.2)


@dataclass
class Plain:
    """One version with its weights under our keys, for padded frames.

    `found` holds all checkpoints of the last call.
    """

    version: Version
    state: Mapping[str, Tensor]
    scale: Fraction = Fraction(1)
    ensemble: bool = False
    found: dict[str, Tensor] = field(default_factory=dict)

    def conv(self, name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        return functional.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], stride, 1, groups=groups)

    def transposed(self, name: str, x: Tensor) -> Tensor:
        return functional.conv_transpose2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], 2, 1)

    def activated(self, name: str, x: Tensor) -> Tensor:
        return functional.prelu(x, self.state[f"{name}.weight"]) if self.version.residual == "prelu" else leaky(x)

    def head(self, image: Tensor) -> Tensor:
        if self.version.head is None:
            return image[:, :0]
        if self.version.plain:
            return self.transposed("encode.1", self.conv("encode.0", image, 2))
        x = leaky(self.conv("encode.cnn0", image, 2))
        x = leaky(self.conv("encode.cnn1", x))
        return self.transposed("encode.cnn3", leaky(self.conv("encode.cnn2", x)))

    def block(
        self, k: int, parts: list[Tensor], flow: Tensor | None, s: Fraction, note: bool = True
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Section 4.2: correction of the flow, mask and feature at full size."""
        x = resize_bilinear(torch.cat(parts, 1), 1 / s)
        if flow is not None:
            x = torch.cat((x, resize_bilinear(flow, 1 / s) / float(s)), 1)
        seen = {f"x{k}": x}
        x = self.activated(f"block{k}.conv0.0.1", self.conv(f"block{k}.conv0.0.0", x, 2))
        x = entry = seen[f"entry{k}"] = self.activated(f"block{k}.conv0.1.1", self.conv(f"block{k}.conv0.1.0", x, 2))
        for i in range(8):
            name = f"block{k}.convblock.{i}"
            if self.version.residual == "scaled":
                x = leaky(self.state[f"{name}.beta"] * self.conv(f"{name}.conv", x, groups=self.version.groups) + x)
            else:
                x = self.activated(f"{name}.1", self.conv(f"{name}.0", x))
        seen[f"body{k}"] = x
        if self.version.residual == "prelu":
            x = x + entry
        if self.version.outputs == 5:
            o, s = self.transposed(f"block{k}.lastconv", x), 2 * s
        else:
            o = functional.pixel_shuffle(self.transposed(f"block{k}.lastconv.0", x), 2)
        seen[f"out{k}"] = o
        if note:
            self.found.update(seen)
        o = resize_bilinear(o, s)
        return o[:, :4] * float(s), o[:, 4:5], o[:, 5:] if self.version.outputs == 52 else o[:, :0]

    def both(
        self, k: int, parts: list[Tensor], flow: Tensor | None, s: Fraction, mirror: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run a block and, with the ensemble, average it with its run on the mirrored pair.

        Parts: two images, two heads, timestep, and from block 1 on the mask and the feature.
        """
        dflow, mask, feature = self.block(k, parts, flow, s)
        if not mirror:
            return dflow, mask, feature
        a, b, ha, hb, t, *rest = parts
        other = [b, a, hb, ha, 1 - t, *([-rest[0], *rest[1:]] if rest else [])]
        back, negated, _ = self.block(k, other, None if flow is None else flow[:, [2, 3, 0, 1]], s, note=False)
        return (dflow + back[:, [2, 3, 0, 1]]) / 2, (mask - negated) / 2, feature

    def __call__(self, first: Tensor, second: Tensor, t: float) -> Tensor:
        assert self.version.steps is not None
        self.found = {}
        first, second = first.clamp(0, 1), second.clamp(0, 1)
        heads = (self.head(first), self.head(second))
        self.found["head0"] = heads[0]
        time = torch.full_like(first[:, :1], t)
        steps = [step / self.scale for step in self.version.steps]
        start = [first, second, *heads, time]
        flow, mask, feature = self.both(0, start, None, steps[0], self.ensemble)
        for k in range(1, len(steps)):
            dflow, new, feature = self.step(k, (first, second), heads, time, flow, mask, feature, steps[k])
            if (
                k == 1
                and self.version.fallback
                and float(dflow[:, :2].abs().max()) > 32
                and float(dflow[:, 2:].abs().max()) > 32
            ):
                steps = [2 * step for step in steps]
                flow, mask, feature = self.both(0, start, None, steps[0], False)
                dflow, new, feature = self.step(1, (first, second), heads, time, flow, mask, feature, steps[1])
                self.found["fallback"] = dflow
            flow = flow + dflow
            mask = mask + new if self.version.summed else new
        self.found["flow"], self.found["mask"] = flow, torch.sigmoid(mask)
        warped = backward_warp(first, flow[:, :2]), backward_warp(second, flow[:, 2:])
        return warped[0] * self.found["mask"] + warped[1] * (1 - self.found["mask"])

    def step(
        self,
        k: int,
        images: tuple[Tensor, Tensor],
        heads: tuple[Tensor, Tensor],
        time: Tensor,
        flow: Tensor,
        mask: Tensor,
        feature: Tensor,
        s: Fraction,
    ) -> tuple[Tensor, Tensor, Tensor]:
        forth, back = flow[:, :2], flow[:, 2:]
        warped = [backward_warp(images[0], forth), backward_warp(images[1], back)]
        features = [backward_warp(heads[0], forth), backward_warp(heads[1], back)] if heads[0].shape[1] else list(heads)
        return self.both(k, [*warped, *features, time, mask, feature], flow, s, self.ensemble)
